package mux_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// FuzzSession sends arbitrary bytes to a server that accepts and echoes. It
// must end, leave no goroutine (the bubble would tell), and read an end of
// file only where one was sent.
func FuzzSession(f *testing.F) {
	for _, frames := range [][]frame{
		{open(1), text(1, "hello"), flags(1, fin)},
		{open(1), open(3), text(3, strings.Repeat("x", 5000)), flags(1, rst), update(3, 5), flags(3, fin), leave(0)},
		{{data, syn | fin, 1, 3, "abc"}, {data, syn, 3, 1, "x"}, {data, rst, 3, 2, "yz"}, text(3, "late")},
		{open(1), text(1, strings.Repeat("y", 70_000)), pinged(syn, 1), update(1, 1<<31), update(1, 1<<31)},
		{flags(2, ack), text(2, "answer"), update(2, 100), flags(2, fin), flags(2, rst)},
		{open(1), open(9), open(5), open(3), open(7), flags(9, rst), claim(1, initial)},
		{pinged(syn, 1), pinged(ack, 1), leave(1)},
		{open(2)}, {open(1), open(1)}, {text(0, "")}, {open(1), flags(1, fin), text(1, "x")}, {claim(1, 1<<32-1)},
	} {
		f.Add(bytesOf(frames...), uint8(0))
		f.Add(bytesOf(frames...), uint8(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		synctest.Test(t, func(t *testing.T) { fuzzSession(t, in, int(piece)) })
	})
}

// FuzzFrames is FuzzSession with bytes that are frames more often than not.
func FuzzFrames(f *testing.F) {
	for _, moves := range []string{
		"\x10\x00\x00\x03\x40\x00\x00\x00",                 // open, data, end
		"\x10\x10\x12\x0b\x80\x02\x01\x05\x40\x02\x00\x00", // two opens, data, window, end
		"\x15\x01\x00\x07\x80\x01\x00\x00\x02\x10\x00\x01\x03\x00\x00\x00",
	} {
		f.Add([]byte(moves), uint8(0))
		f.Add([]byte(moves), uint8(13))
	}
	f.Fuzz(func(t *testing.T, moves []byte, piece uint8) {
		var in []byte
		for ; len(moves) >= 4 && len(in) < 4<<20; moves = moves[4:] { // more of the same takes seconds
			in = append(in, move([4]byte(moves)).encode()...)
		}
		synctest.Test(t, func(t *testing.T) { fuzzSession(t, in, int(piece)) })
	})
}

// move makes a frame of few bits: flags and type, id, length, whether the body
// is all there.
func move(m [4]byte) frame {
	lengths := [...]uint32{0, 1, 5, 1000, 20_000, initial / 2, initial, initial + 1, 1 << 31, 1<<32 - 1}
	f := frame{typ: int(m[0] & 3), flags: int(m[0] >> 4), id: uint32(m[1] % 24), length: lengths[int(m[2])%len(lengths)]}
	if m[0]&4 != 0 { // the most usual
		f.typ, f.flags = data, 0
	}
	if f.typ >= ping && m[3]%16 != 0 {
		f.id = 0
	}
	if f.typ == data && f.length <= initial {
		n := f.length
		if m[3] == 0 {
			n /= 2
		}
		f.body = strings.Repeat("b", int(n))
	}
	return f
}

func fuzzSession(t *testing.T, in []byte, piece int) {
	s, peer := rawClient(t, mux.Config{MaxStreams: 8, Backlog: 4, Budget: mux.NewBudget(64 << 10)})
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(io.Discard, peer) })
	wg.Go(func() {
		for {
			st, err := s.Accept(t.Context())
			if err != nil {
				return
			}
			wg.Go(func() {
				defer st.Close()
				if _, err := io.Copy(st, st); err == nil && !mayEnd(in, st.ID()) {
					t.Errorf("stream %d: an end of file that was never sent", st.ID())
				}
			})
		}
	})
	wg.Go(func() {
		st, err := s.Open(t.Context())
		if err != nil {
			return
		}
		st.Write([]byte("hi"))
		if _, err := io.ReadAll(st); err == nil && !mayEnd(in, st.ID()) {
			t.Errorf("own stream: an end of file that was never sent")
		}
		st.Abort()
	})
	for rest := in; len(rest) > 0; {
		n := len(rest)
		if piece > 0 {
			n = min(n, max(piece, len(in)/64)) // a wait for each takes its time
			synctest.Wait()
		}
		if _, err := peer.Write(rest[:n]); err != nil {
			break
		}
		rest = rest[n:]
	}
	peer.CloseWrite()
	<-s.Done()
	if err := s.Err(); err == nil || err != io.EOF && errors.Is(err, io.EOF) {
		t.Errorf("the session's error: %v", err)
	}
	s.Close()
	wg.Wait()
	if n := s.NumStreams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// mayEnd says whether in has a frame with FIN for the stream, at any offset:
// more than the session may find, never less.
func mayEnd(in []byte, id uint32) bool {
	for i := 0; i+12 <= len(in); i++ {
		h := in[i : i+12]
		if h[0] == 0 && h[1] <= window && h[3]&fin != 0 &&
			uint32(h[4])<<24|uint32(h[5])<<16|uint32(h[6])<<8|uint32(h[7]) == id {
			return true
		}
	}
	return false
}
