package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

const (
	headDomain  = "switchboard/1/audit" // before what a head signs: no signature of another kind can be one
	headEvery   = 1000                  // records, the head among them
	attrSig     = "sig"
	attrFirst   = "first"
	attrFrom    = "from"
	attrTo      = "to"
	attrCut     = "cut" // bytes
	attrSince   = "since"
	reasonRate  = "rate"
	reasonQueue = "queue"
)

// Head is a signed statement that record Seq's line has the hash Hash. Who keeps one
// elsewhere can tell later that nothing up to Seq was rewritten or cut off.
type Head struct {
	Seq  uint64
	Hash Hash
	Sig  []byte
}

// Message is what Sig signs: "switchboard/1/audit", Seq in 8 bytes with the highest
// first, and the 32 bytes of Hash.
func (h Head) Message() []byte {
	b := append(make([]byte, 0, 64), headDomain...)
	b = binary.BigEndian.AppendUint64(b, h.Seq)
	return append(b, h.Hash[:]...)
}

// HeadOf is the head in a record of event head; false if it is none.
func HeadOf(r Record) (Head, bool) {
	if r.Event.Event != EventHead || r.Seq == 0 {
		return Head{}, false
	}
	sig, err := base64.StdEncoding.DecodeString(r.Attrs[attrSig])
	if err != nil || len(sig) == 0 {
		return Head{}, false
	}
	return Head{Seq: r.Seq - 1, Hash: r.Prev, Sig: sig}, true
}

// chain gives each record its place.
type chain struct {
	seq      uint64 // of the last record
	hash     Hash   // of the last line
	unsigned int    // records since the last head
}

// add puts r next into the chain and appends its line to b.
func (c *chain) add(b []byte, r *Record) []byte {
	c.seq++
	r.Seq, r.Prev = c.seq, c.hash
	start := len(b)
	b = r.append(b)
	c.hash = sha256.Sum256(b[start : len(b)-1])
	c.unsigned++
	if r.Event.Event == EventHead {
		c.unsigned = 0
	}
	return b
}

// head is the event that signs all records so far.
func (c *chain) head(sign func([]byte) []byte) Event {
	sig := sign(Head{Seq: c.seq, Hash: c.hash}.Message())
	return Event{Event: EventHead, Attrs: map[string]string{attrSig: base64.StdEncoding.EncodeToString(sig)}}
}

// attrNumber reads a number among the attributes; 0 if there is none.
func (e *Event) attrNumber(key string) uint64 {
	n, _ := strconv.ParseUint(e.Attrs[key], 10, 64)
	return n
}
