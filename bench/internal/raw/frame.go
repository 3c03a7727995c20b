// Package raw is what the bench compares with: bare Unix sockets, once from
// caller to callee (D), and once through a process that joins each channel's two
// sockets by io.Copy (R). Neither proves who is there, and neither has limits.
//
// R has a connection for each channel, for each watch, and for each client's
// calls. A connection begins with a frame; frames are a length of 4 bytes,
// big-endian, and a text.
//
//	client → relay              relay → client
//	hello                       ok      and then calls: claim, release, list
//	claim NAME SOCKET           ok      or taken
//	release NAME                ok
//	list                        NAME LF NAME LF …
//	watch                       ok      and then one frame for each name claimed
//	open NAME                   what the callee sends: the channel has begun
package raw

import (
	"encoding/binary"
	"errors"
	"io"
)

const maxFrame = 16 << 20

var errFrame = errors.New("raw: frame too long")

// send writes one frame.
func send(w io.Writer, text string) error {
	b := make([]byte, 4, 4+len(text))
	binary.BigEndian.PutUint32(b, uint32(len(text)))
	_, err := w.Write(append(b, text...))
	return err
}

// receive reads one frame.
func receive(r io.Reader) (string, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrame {
		return "", errFrame
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), err
}
