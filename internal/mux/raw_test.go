package mux_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// The wire, written down a second time.
const (
	data, window, ping, goAway = 0, 1, 2, 3
	syn, ack, fin, rst         = 1, 2, 4, 8
	initial                    = 256 << 10
)

type frame struct {
	typ, flags int
	id, length uint32
	body       string
}

func (f frame) String() string {
	typ := "?"
	if f.typ < 4 {
		typ = [...]string{"data", "window", "ping", "go-away"}[f.typ]
	}
	return fmt.Sprintf("%s flags=%x id=%d length=%d", typ, f.flags, f.id, f.length)
}

func (f frame) encode() []byte {
	b := []byte{0, byte(f.typ), byte(f.flags >> 8), byte(f.flags)}
	b = binary.BigEndian.AppendUint32(b, f.id)
	b = binary.BigEndian.AppendUint32(b, f.length)
	return append(b, f.body...)
}

// open, text and friends are frames that tests often need.
func open(id uint32) frame              { return frame{typ: window, flags: syn, id: id} }
func text(id uint32, body string) frame { return frame{data, 0, id, uint32(len(body)), body} }
func flags(id uint32, flags int) frame  { return frame{typ: window, flags: flags, id: id} }
func update(id uint32, n uint32) frame  { return frame{typ: window, id: id, length: n} }
func claim(id uint32, n uint32) frame   { return frame{typ: data, id: id, length: n} }
func refused(id uint32) frame           { return reset(id, mux.ReasonBusy) }
func reset(id uint32, r mux.Reason) frame {
	return frame{typ: window, flags: rst, id: id, length: uint32(r)}
}
func pinged(flags int, v uint32) frame { return frame{typ: ping, flags: flags, length: v} }
func leave(code uint32) frame          { return frame{typ: goAway, length: code} }
func bytesOf(frames ...frame) (b []byte) {
	for _, f := range frames {
		b = append(b, f.encode()...)
	}
	return b
}

// raw is a peer that the test plays by hand.
type raw struct {
	t testing.TB
	*testnet.Conn
}

// rawClient returns a server session and the bare connection of its client.
func rawClient(t testing.TB, cfg mux.Config) (*mux.Session, *raw) {
	t.Helper()
	if cfg.Rates.Pings == (mux.Rate{}) {
		cfg.Rates.Pings = mux.NoRate // of alive
	}
	near, far := testnet.PipeSize(1 << 20)
	s := mux.Server(far, cfg)
	t.Cleanup(func() {
		near.Close()
		s.Abort(nil)
	})
	return s, &raw{t, near}
}

func (r *raw) send(frames ...frame) {
	r.t.Helper()
	if _, err := r.Write(bytesOf(frames...)); err != nil {
		r.t.Errorf("sending: %v", err)
	}
}

// next returns the next frame, or the error of the connection.
func (r *raw) next() (frame, error) { return readFrame(r.Conn) }

func readFrame(c net.Conn) (frame, error) {
	var h [12]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return frame{}, err
	}
	f := frame{
		typ:    int(h[1]),
		flags:  int(binary.BigEndian.Uint16(h[2:])),
		id:     binary.BigEndian.Uint32(h[4:]),
		length: binary.BigEndian.Uint32(h[8:]),
	}
	if f.typ == data {
		b := make([]byte, f.length)
		if _, err := io.ReadFull(c, b); err != nil {
			return f, err
		}
		f.body = string(b)
	}
	return f, nil
}

// want fails unless these frames come next.
func (r *raw) want(frames ...frame) {
	r.t.Helper()
	for _, want := range frames {
		got, err := r.next()
		if err != nil {
			r.t.Fatalf("got %v, want %v", err, want)
		}
		if got != want {
			r.t.Fatalf("got %v %q, want %v %q", got, clip(got.body), want, clip(want.body))
		}
	}
}

// alive fails unless the session still answers, which also says that it has
// handled all that was sent before, and has sent nothing else.
func (r *raw) alive() {
	r.t.Helper()
	r.send(pinged(syn, 4711))
	r.want(pinged(ack, 4711))
}

func clip(s string) string { return s[:min(len(s), 20)] }
