package mux_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// TestSplicePace: with a bound on bytes per second a peer gets no more window than it
// may have sent, whatever the other end grants, and all bytes arrive.
func TestSplicePace(t *testing.T) {
	const rate, total, window, piece = 256 << 10, 2 << 20, 256 << 10, 32 << 10
	synctest.Test(t, func(t *testing.T) {
		pace := new(mux.Pace)
		pace.SetRate(rate)
		p := splice(t, mux.Config{Pace: pace, KeepAlive: -1, DeadAfter: -1})
		p.b.send(update(2, 8<<20))
		got := make(chan int)
		go func() {
			n := 0
			for n < total {
				f, err := p.b.next()
				if err != nil {
					break
				}
				n += len(f.body)
			}
			got <- n
		}()
		began, ahead := time.Now(), window
		chunk := strings.Repeat("x", piece)
		for sent := 0; sent < total; sent += piece {
			for ahead < piece {
				f, err := p.a.next()
				if err != nil {
					t.Fatal(err)
				}
				ahead += int(f.length)
			}
			if ahead > window {
				t.Fatalf("a window of %d bytes", ahead)
			}
			p.a.send(text(1, chunk))
			ahead -= piece
		}
		if n := <-got; n != total {
			t.Errorf("%d bytes have arrived of %d", n, total)
		}
		least := time.Duration(float64(total-2*window) / rate * float64(time.Second))
		if took := time.Since(began); took < least || took > total/rate*time.Second {
			t.Errorf("%d bytes took %v, want %v to %v", total, took, least, total/rate*time.Second)
		}
	})
}

// TestPaceChanged: a bound that is raised, or taken back, holds for what has come before,
// too.
func TestPaceChanged(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  int
		least time.Duration
	}{
		{"raised", 64 << 10, 4 * time.Second},
		{"taken back", 0, 0},
		{"the same", 1 << 10, 256 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pace := new(mux.Pace)
				pace.SetRate(1 << 10)
				p := splice(t, mux.Config{Pace: pace, KeepAlive: -1, DeadAfter: -1})
				p.a.send(text(1, strings.Repeat("x", initial)))
				synctest.Wait()
				p.b.send(update(2, initial))
				synctest.Wait()
				pace.SetRate(c.rate)
				began := time.Now()
				if f, err := p.a.next(); err != nil || f.typ != window {
					t.Fatalf("got %v, %v", f, err)
				}
				if took := time.Since(began); took < c.least || took > c.least+time.Second {
					t.Errorf("waited for %v, want %v to a second more", took, c.least)
				}
			})
		})
	}
}

// TestPacedIsNotWaiting: whom the bound holds back has not stalled: all that has come
// was taken.
func TestPacedIsNotWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := new(mux.Pace)
		pace.SetRate(1 << 10)
		p := splice(t, mux.Config{Pace: pace, KeepAlive: -1, DeadAfter: -1})
		p.a.send(text(1, strings.Repeat("x", initial)))
		synctest.Wait()
		if !p.j.Waiting() {
			t.Error("a peer without a window, by the other end, does not wait")
		}
		p.b.send(update(2, initial))
		synctest.Wait()
		if p.j.Waiting() {
			t.Error("a peer that waits for the bound seems to wait for the other end")
		}
	})
}
