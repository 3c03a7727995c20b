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
