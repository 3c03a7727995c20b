package shs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// plainPair returns a server Conn in plain mode over a Unix socket, and a
// function that puts raw bytes on the wire to it.
func plainPair(t *testing.T) (server *Conn, wire func([]byte), cut func()) {
	t.Helper()
	a, b := socketPair(t, "unix", filepath.Join(t.TempDir(), "s"))
	client, server := connect(t, Plain, a, b)
	wire = func(p []byte) {
		if _, err := client.NetConn().Write(p); err != nil {
			t.Error(err)
		}
	}
	return server, wire, func() { client.NetConn().Close() }
}

// chunks frames data at random places.
func chunks(rng *rand.Rand, data []byte) (wire []byte) {
	for len(data) > 0 {
		n := 1 + rng.IntN([]int{10, 5_000, 100_000}[rng.IntN(3)])
		n = min(n, len(data))
		wire = binary.BigEndian.AppendUint32(wire, uint32(n))
		wire = append(wire, data[:n]...)
		data = data[n:]
	}
	return append(wire, 0, 0, 0, 0)
}

// TestReadScattered: what large Reads take from the kernel themselves is what
// was sent, however it was framed, cut into writes and read.
func TestReadScattered(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 0))
		data := make([]byte, 400_000)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		text := chunks(rng, data)
		sizes := rand.New(rand.NewPCG(seed, 1))
		server, wire, _ := plainPair(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			for len(text) > 0 {
				n := min(1+rng.IntN([]int{3, 3_000, 150_000}[rng.IntN(3)]), len(text))
				wire(text[:n])
				text = text[n:]
			}
		})
		var got []byte
		var err error
		for err == nil {
			buf := make([]byte, 1+sizes.IntN([]int{10, 20_000, 200_000}[sizes.IntN(3)]))
			if sizes.IntN(5) == 0 {
				_, _ = server.Peek(1 + sizes.IntN(10)) // what it fails for comes again
			}
			var n int
			n, err = server.Read(buf)
			got = append(got, buf[:n]...)
		}
		wg.Wait()
		if err != io.EOF || !bytes.Equal(got, data) {
			t.Fatalf("seed %d: got %d bytes of %d, then %v", seed, len(got), len(data), err)
		}
	}
}

// TestReadScatteredEnds: every end that a large Read may meet.
func TestReadScatteredEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		wire []byte
		want string
		err  error
	}{
		{"goodbye", []byte{0, 0, 0, 2, 'h', 'i', 0, 0, 0, 0}, "hi", io.EOF},
		{"goodbye alone", []byte{0, 0, 0, 0}, "", io.EOF},
		{"bytes behind the goodbye", []byte{0, 0, 0, 0, 1}, "", ErrProtocol},
		{"and behind a chunk", []byte{0, 0, 0, 2, 'h', 'i', 0, 0, 0, 0, 1}, "hi", ErrProtocol},
		{"cut", nil, "", io.ErrUnexpectedEOF},
		{"cut in a header", []byte{0, 0}, "", io.ErrUnexpectedEOF},
		{"cut in a chunk", []byte{255, 255, 255, 255, 'h', 'i'}, "hi", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, wire, cut := plainPair(t)
			if len(tt.wire) > 0 {
				wire(tt.wire)
			}
			if !errors.Is(tt.err, io.EOF) {
				cut()
			}
			buf := make([]byte, 64<<10)
			var got []byte
			var err error
			for err == nil {
				var n int
				n, err = server.Read(buf)
				got = append(got, buf[:n]...)
			}
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q and %v", got, err)
			}
		})
	}
}

// TestReadScatteredDeadline: a Read that meets its deadline in the middle of a
// header or a chunk has lost nothing.
func TestReadScatteredDeadline(t *testing.T) {
	server, wire, _ := plainPair(t)
	buf := make([]byte, 64<<10)
	read := func(want string, wantErr error) {
		t.Helper()
		patience := time.Minute
		if wantErr != nil {
			patience = 20 * time.Millisecond
		}
		server.SetReadDeadline(time.Now().Add(patience))
		n, err := server.Read(buf)
		if string(buf[:n]) != want || (err != nil) != (wantErr != nil) {
			t.Fatalf("got %q and %v, want %q", buf[:n], err, want)
		}
	}
	late := errors.New("a timeout")
	read("", late)
	wire([]byte{0, 0})
	read("", late)
	wire([]byte{0, 4, 'a'})
	read("a", nil)
	read("", late)
	wire([]byte{'b', 'c', 'd', 0})
	read("bcd", nil)
	read("", late)
	wire([]byte{0, 0, 1, 'e'})
	read("e", nil)
}
