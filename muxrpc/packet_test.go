package muxrpc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/cad2f06c/switchboard/muxrpc"
)

func TestPacketBytes(t *testing.T) {
	tests := []struct {
		name string
		p    muxrpc.Packet
		wire string
	}{
		{"goodbye", muxrpc.Packet{}, "000000000000000000"},
		{"answer true", muxrpc.Packet{Flags: muxrpc.FlagJSON, Req: -7, Body: []byte("{}")}, "0200000002fffffff97b7d"},
		{"stream end", muxrpc.Packet{Flags: muxrpc.FlagJSON | muxrpc.FlagEnd | muxrpc.FlagStream, Req: 1, Body: []byte("true")}, "0e000000040000000174727565"},
		{"text", muxrpc.Packet{Flags: muxrpc.FlagText, Req: 1<<31 - 1, Body: []byte("h")}, "01000000017fffffff68"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := muxrpc.WritePacket(&b, tt.p); err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(b.Bytes()); got != tt.wire {
				t.Errorf("wrote %s, want %s", got, tt.wire)
			}
			b.WriteString("next")
			p, err := muxrpc.ReadPacket(iotest.OneByteReader(&b), 16)
			if err != nil || p.Flags != tt.p.Flags || p.Req != tt.p.Req || !bytes.Equal(p.Body, tt.p.Body) {
				t.Errorf("read %+v, %v, want %+v", p, err, tt.p)
			}
			if p.IsGoodbye() != (tt.name == "goodbye") {
				t.Errorf("IsGoodbye is %v", p.IsGoodbye())
			}
			if b.String() != "next" {
				t.Errorf("left %q, want next", b.String())
			}
		})
	}
}

func TestReadPacketCut(t *testing.T) {
	var b bytes.Buffer
	muxrpc.WritePacket(&b, muxrpc.Packet{Flags: 2, Req: 1, Body: bytes.Repeat([]byte("x"), 10000)})
	wire := b.Bytes()
	for _, n := range []int{0, 1, 8, 9, 10, 9 + 4096, 9 + 8192, len(wire) - 1} {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := muxrpc.ReadPacket(bytes.NewReader(wire[:n]), 1<<20); err != want {
			t.Errorf("cut at %d: got %v, want %v", n, err, want)
		}
	}
	if p, err := muxrpc.ReadPacket(iotest.HalfReader(bytes.NewReader(wire)), 10000); err != nil || len(p.Body) != 10000 {
		t.Errorf("got %d bytes, %v", len(p.Body), err)
	}
	if _, err := muxrpc.ReadPacket(bytes.NewReader(wire), 9999); !errors.Is(err, muxrpc.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestWritePacketRefusesEmptyBody(t *testing.T) {
	for _, p := range []muxrpc.Packet{{Flags: 8, Req: 1}, {Req: 1}, {Flags: 2}} {
		var b bytes.Buffer
		if err := muxrpc.WritePacket(&b, p); err == nil || b.Len() > 0 {
			t.Errorf("wrote %+v as %x", p, b.Bytes())
		}
	}
}

// A box boundary falls between header and body.
func TestWritePacketBoxes(t *testing.T) {
	a, _ := pipe(1 << 20)
	c := &boxConn{conn: a}
	if err := muxrpc.WritePacket(c, muxrpc.Packet{Flags: 2, Req: 1, Body: []byte("true")}); err != nil {
		t.Fatal(err)
	}
	if c.calls != 1 || len(c.boxes) != 2 || len(c.boxes[0]) != 9 || string(c.boxes[1]) != "true" {
		t.Errorf("%d calls, boxes %q", c.calls, c.boxes)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// F09: a header that claims 4 GiB, or the most that is allowed and then nothing, costs no memory.
func TestReadPacketClaims(t *testing.T) {
	huge := []byte{2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1}
	if n := allocated(func() {
		for range 100 {
			if _, err := muxrpc.ReadPacket(bytes.NewReader(huge), 1<<20); !errors.Is(err, muxrpc.ErrTooLarge) {
				t.Errorf("got %v, want ErrTooLarge", err)
			}
		}
	}); n > 100*1024 {
		t.Errorf("100 claims of 4 GiB allocated %d bytes", n)
	}
	most := []byte{2, 0, 0x10, 0, 0, 0, 0, 0, 1, 'x'}
	if n := allocated(func() {
		if _, err := muxrpc.ReadPacket(bytes.NewReader(most), 1<<20); err != io.ErrUnexpectedEOF {
			t.Errorf("got %v, want io.ErrUnexpectedEOF", err)
		}
	}); n > 16<<10 {
		t.Errorf("a claim of 1 MiB allocated %d bytes", n)
	}
}

func FuzzReadPacket(f *testing.F) {
	for _, s := range []string{"", "000000000000000000", "0200000002fffffff97b7d", "0e000000040000000174727565", "ff00000001800000006a", "02ffffffff00000001"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const most = 1 << 16
		r := bytes.NewReader(in)
		p, err := muxrpc.ReadPacket(r, most)
		if err != nil {
			if (err == io.EOF) != (len(in) == 0) {
				t.Fatalf("%v for %d bytes", err, len(in))
			}
			return
		}
		used := len(in) - r.Len()
		if used != 9+len(p.Body) || len(p.Body) > most {
			t.Fatalf("took %d bytes for a body of %d", used, len(p.Body))
		}
		var out bytes.Buffer
		if err := muxrpc.WritePacket(&out, p); err != nil {
			if len(p.Body) > 0 || p.IsGoodbye() {
				t.Fatal(err)
			}
			return // an empty body is read, never written
		}
		want := bytes.Clone(in[:used])
		want[0] &= 0x0f
		if !bytes.Equal(out.Bytes(), want) {
			t.Fatalf("wrote %x, want %x", out.Bytes(), want)
		}
	})
}

func BenchmarkReadPacket(b *testing.B) {
	var w bytes.Buffer
	muxrpc.WritePacket(&w, muxrpc.Packet{Flags: 2, Req: 1, Body: []byte(`{"name":["whoami"],"args":[],"type":"async"}`)})
	r := bytes.NewReader(w.Bytes())
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(w.Bytes())
		if _, err := muxrpc.ReadPacket(r, 1<<16); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWritePacket(b *testing.B) {
	p := muxrpc.Packet{Flags: 2, Req: 1, Body: []byte(`{"name":["whoami"],"args":[],"type":"async"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if err := muxrpc.WritePacket(io.Discard, p); err != nil {
			b.Fatal(err)
		}
	}
}
