package shs

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/cad2f06c/switchboard/shs/internal/salsa"
	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

// eachPath runs a test with every way this machine has to make key stream.
func eachPath(t *testing.T, f func(t *testing.T, path salsa.Path)) {
	for _, path := range salsa.Paths() {
		t.Run(path.String(), func(t *testing.T) { f(t, path) })
	}
}

// oddSizes are bodies around the edges of blocks, of what is made ahead, and of
// eight blocks.
func oddSizes() (all []int) {
	for _, n := range []int{0, 32, 96, 160, 512, 544, 1056, maxBody} {
		all = append(all, max(0, n-1), n, min(n+1, maxBody))
	}
	return all
}

// TestBoxSizes writes boxes of odd sizes into one buffer, as the reference does.
func TestBoxSizes(t *testing.T) {
	eachPath(t, func(t *testing.T, path salsa.Path) {
		for n := range 9 { // boxes before the prefix of the nonce changes
			half := shs1.Half{Key: testHalf.Key, Nonce: [24]byte(bytes.Repeat([]byte{255}, 24))}
			half.Nonce[23] -= byte(n)
			half.Nonce[0] = 0
			w, r := newBoxWriter(half, path), newBoxReader(half, path)
			ref := refHalf{key: half.Key, nonce: half.Nonce}
			var got, want []byte
			for i, size := range oddSizes() {
				body := bytes.Repeat([]byte{byte(i + 1)}, size)
				got, _ = w.appendFrame(got, body)
				want = append(want, ref.seal(body)...)
			}
			got, want = w.appendGoodbye(got), append(want, ref.goodbye()...)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d before the carry: other bytes than the reference's", n)
			}
			for i, size := range oddSizes() {
				view, used, err := r.open(got)
				if !bytes.Equal(view, bytes.Repeat([]byte{byte(i + 1)}, size)) || used != boxHeaderSize+size || err != nil {
					t.Fatalf("%d before the carry: a body of %d: view of %d, used %d, %v", n, size, len(view), used, err)
				}
				if cap(view) != len(view) {
					t.Fatalf("a view of %d bytes has room for %d: an append would spoil the next box", len(view), cap(view))
				}
				got = got[used:]
			}
			if view, used, err := r.open(got); view != nil || used != 0 || err != io.EOF {
				t.Fatalf("goodbye: got %d bytes, used %d, %v", len(view), used, err)
			}
		}
	})
}

// TestOpenByteByByte gives an opener a box more each time by a byte, at another
// place each time, as a reader does that moves what it has.
func TestOpenByteByByte(t *testing.T) {
	eachPath(t, func(t *testing.T, path salsa.Path) {
		w, r := newBoxWriter(testHalf, path), newBoxReader(testHalf, path)
		for size := range 200 {
			body := bytes.Repeat([]byte{byte(size)}, size)
			wire, _ := w.appendFrame(nil, body)
			for n := range wire {
				view, used, err := r.open(bytes.Clone(wire[:n]))
				if view != nil || used != 0 || err != nil {
					t.Fatalf("%d of %d bytes: view of %d, used %d, %v", n, len(wire), len(view), used, err)
				}
			}
			view, used, err := r.open(wire)
			if !bytes.Equal(view, body) || used != len(wire) || err != nil {
				t.Fatalf("all %d bytes: got %x, %d, %v", len(wire), view, used, err)
			}
		}
	})
}

// TestOpenAfterFailure opens the next good box after a bad one: the direction is
// over all the same.
func TestOpenAfterFailure(t *testing.T) {
	eachPath(t, func(t *testing.T, path salsa.Path) {
		wire, _ := frames(Box, testHalf, "0", "1", "2")
		for _, bad := range []int{3, boxHeaderSize} { // in the header, in the body
			r := newBoxReader(testHalf, path)
			broken := bytes.Clone(wire[0])
			broken[bad] ^= 1
			_, _, first := r.open(broken)
			if !errors.Is(first, ErrProtocol) {
				t.Fatalf("byte %d: got %v", bad, first)
			}
			for _, good := range wire {
				if view, used, err := r.open(bytes.Clone(good)); view != nil || used != 0 || err != first {
					t.Errorf("after it: got %q, %d, %v, want %v", view, used, err, first)
				}
			}
		}
	})
}

// TestWipedBox shows that nothing is sealed or opened without a key.
func TestWipedBox(t *testing.T) {
	eachPath(t, func(t *testing.T, path salsa.Path) {
		w, r := newBoxWriter(testHalf, path), newBoxReader(testHalf, path)
		wire, _ := w.appendFrame(nil, []byte("secret"))
		if _, _, err := r.open(wire); err != nil {
			t.Fatal(err)
		}
		w.wipe()
		r.wipe()
		if _, _, err := r.open(wire); err == nil {
			t.Error("a wiped reader opens")
		}
		defer func() {
			if recover() == nil {
				t.Error("a wiped writer seals")
			}
		}()
		w.appendFrame(nil, []byte("secret"))
	})
}

func TestBoxAllocs(t *testing.T) {
	eachPath(t, func(t *testing.T, path salsa.Path) {
		w, r := newBoxWriter(testHalf, path), newBoxReader(testHalf, path)
		text, buf := make([]byte, maxBody), make([]byte, 0, 2*maxFrame)
		if n := testing.AllocsPerRun(50, func() {
			out, _ := w.appendFrame(buf, text)
			out, _ = w.appendFrame(out, text[:10])
			for range 2 {
				_, used, err := r.open(out)
				if err != nil {
					t.Fatal(err)
				}
				out = out[used:]
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
