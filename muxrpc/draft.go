package muxrpc

import (
	"io"
	"sync"
)

const (
	draftSize = 512     // bytes of most packets
	draftKept = 4 << 10 // larger memory is not kept for the next draft
)

// drafts is memory for packets that are being written.
var drafts = sync.Pool{New: func() any { return &Draft{B: make([]byte, headerSize, draftSize)} }}

// Draft is a packet in the making, in memory that is used again and again: append its body to B, then Send or Drop it, once.
// It is for one goroutine.
type Draft struct {
	B []byte // room for the header, and the body
}

// NewDraft returns a Draft without a body.
func NewDraft() *Draft {
	d := drafts.Get().(*Draft)
	d.B = d.B[:headerSize]
	return d
}

// Size is that of the body.
func (d *Draft) Size() int { return len(d.B) - headerSize }

// Send writes the packet, as [WritePacket] does, and drops the draft.
func (d *Draft) Send(w io.Writer, flags byte, req int32) error {
	defer d.Drop()
	p := Packet{Flags: flags, Req: req}
	if err := p.check(d.Size()); err != nil {
		return err
	}
	h := p.header(d.Size())
	copy(d.B, h[:])
	var err error
	if bw, ok := w.(buffersWriter); ok && d.Size() > 0 {
		_, err = bw.WriteBuffers(d.B[:headerSize], d.B[headerSize:])
	} else {
		_, err = w.Write(d.B)
	}
	return err
}

// Drop gives the memory back. B is not to be used any more.
func (d *Draft) Drop() {
	if cap(d.B) <= draftKept {
		drafts.Put(d)
	}
}
