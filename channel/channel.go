// Package channel is what a channel is made of: the lanes that carry it, the
// relay that joins two of them, and the net.Conn that an end sees
// (PROTOCOL.md §6).
//
// A channel is a duplex path of bytes between two peers, the caller and the
// callee. It has no frames and no types: any protocol may run in it. Each
// direction ends by itself, by a half-close that passes through from end to
// end; an abort of either end, or the death of anything between, reaches the
// other end as an error and never as an end of file.
package channel

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
)

// Lane is one duplex byte path between a peer and the server: a yamux stream
// or a whole connection (PROTOCOL.md §3).
//
// Read returns io.EOF only after the other side's half-close. CloseWrite is
// our half-close. Close ends both directions in order: what was written before
// is delivered. Abort ends the lane so that the other side reads an error.
type Lane interface {
	net.Conn
	CloseWrite() error
	Abort() error
}

// ID names a channel: 16 random bytes, in text 32 lower-case hex digits.
type ID [16]byte

// ErrID is returned by ParseID.
var ErrID = errors.New("channel: an id is 32 lower-case hex digits")

// NewID makes a fresh ID.
func NewID() ID {
	var id ID
	rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	return id
}

// ParseID reads the text form; there is one spelling of each id.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, ErrID
	}
	for i := range len(id) {
		hi, lo := digit(s[2*i]), digit(s[2*i+1])
		if hi > 15 || lo > 15 {
			return ID{}, ErrID
		}
		id[i] = hi<<4 | lo
	}
	return id, nil
}

// digit is the value of a lower-case hex digit, or more than 15.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// String returns 32 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }
