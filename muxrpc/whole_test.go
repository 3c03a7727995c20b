package muxrpc_test

import (
	"bytes"
	"testing"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// Whole sees a packet when its last byte is there, and not before.
func TestWhole(t *testing.T) {
	var b bytes.Buffer
	if err := muxrpc.WritePacket(&b, muxrpc.Packet{Flags: muxrpc.FlagJSON, Req: 1, Body: []byte(`true`)}); err != nil {
		t.Fatal(err)
	}
	size := b.Len()
	b.WriteString("more")
	for n := range b.Len() + 1 {
		var head [muxrpc.WholeHead]byte
		copy(head[:], b.Bytes()[:n])
		want := 0
		if n >= size {
			want = size
		}
		if got := muxrpc.Whole(head[:], n); got != want {
			t.Errorf("of %d bytes: %d, want %d", n, got, want)
		}
	}
	huge := []byte{0, 0xff, 0xff, 0xff, 0xff}
	if got := muxrpc.Whole(huge, 1<<20); got != 0 {
		t.Errorf("4 GiB: %d", got)
	}
}

// A Draft is the packet that WritePacket writes.
func TestDraft(t *testing.T) {
	for _, body := range []string{`{}`, string(bytes.Repeat([]byte("x"), 10_000))} {
		var want, got bytes.Buffer
		if err := muxrpc.WritePacket(&want, muxrpc.Packet{Flags: 10, Req: -3, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		d := muxrpc.NewDraft()
		d.B = append(d.B, body...)
		if d.Size() != len(body) {
			t.Errorf("size %d, want %d", d.Size(), len(body))
		}
		if err := d.Send(&got, 10, -3); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("got %q (%v), want %q", got.Bytes(), err, want.Bytes())
		}
	}
	if err := muxrpc.NewDraft().Send(&bytes.Buffer{}, muxrpc.FlagJSON, 1); err == nil {
		t.Error("an empty body was sent")
	}
}
