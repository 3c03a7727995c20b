package channel_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// ends are the two Paths of a channel, the raw lane between them, and what
// their lingers run on.
type ends struct {
	caller, callee *channel.Path
	wg             sync.WaitGroup
}

func newEnds(t *testing.T) *ends {
	a, b := lane(t)
	e := &ends{}
	e.caller = channel.NewPath(a, true, e.wg.Go)
	e.callee = channel.NewPath(b, false, e.wg.Go)
	return e
}

// move moves both ends to a new link, each on a goroutine.
func (e *ends) move(t *testing.T) (caller, callee <-chan error, la, lb *shs.Conn) {
	la, lb = lane(t)
	x, y := make(chan error, 1), make(chan error, 1)
	if !e.callee.Register() {
		t.Error("not registered")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	e.wg.Go(func() { defer cancel(); x <- e.caller.Move(ctx, la) })
	e.wg.Go(func() { y <- e.callee.Move(ctx, lb) })
	return x, y, la, lb
}

// TestPathMoves: bytes both ways before, during and after the move, then the
// ends.
func TestPathMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		there, back := make([]byte, 1<<20), make([]byte, 1<<19)
		rng := rand.NewChaCha8([32]byte{})
		rng.Read(there)
		rng.Read(back)
		var wg sync.WaitGroup
		send := func(p *channel.Path, data []byte) {
			wg.Go(func() {
				for len(data) > 0 {
					n := min(1+rand.IntN(40_000), len(data))
					if _, err := p.Write(data[:n]); err != nil {
						t.Error(err)
						return
					}
					data = data[n:]
				}
				if err := p.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
		}
		recv := func(p *channel.Path, want []byte) {
			wg.Go(func() {
				got, err := io.ReadAll(p)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %d bytes and %v, want %d", len(got), err, len(want))
				}
			})
		}
		send(e.caller, there)
		send(e.callee, back)
		x, y, _, _ := e.move(t)
		recv(e.caller, back)
		recv(e.callee, there)
		wg.Wait()
		if err := errors.Join(<-x, <-y); err != nil {
			t.Error(err)
		}
		if st, sent, got := e.caller.Stage(); st != channel.Direct || sent != 1<<20 || got != 1<<19 {
			t.Errorf("caller is at %v, %d, %d", st, sent, got)
		}
		e.caller.Close()
		e.callee.Close()
		e.wg.Wait()
	})
}
