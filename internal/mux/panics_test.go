package mux_test

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// trapped is a connection whose next write panics once it is armed; tries: also
// one that does not wait.
type trapped struct {
	net.Conn
	mu    sync.Mutex
	armed bool
}

func (c *trapped) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
}

func (c *trapped) Write(p []byte) (int, error) {
	c.mu.Lock()
	armed := c.armed
	c.mu.Unlock()
	if armed {
		panic("a trap")
	}
	return c.Conn.Write(p)
}

// trapTries is a trapped connection that has TryWrite.
type trapTries struct{ *trapped }

func (c trapTries) TryWrite(p []byte) (left bool, err error) {
	_, err = c.Write(p)
	return false, err
}

func (c trapTries) Flush() error { return nil }

// Whatever panics on a goroutine of the session, on a timer's or on that of who
// writes for it, ends the session, and nothing else.
func TestPanics(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *mux.Session, *mux.Session, *trapped){
		"writer": func(t *testing.T, s, _ *mux.Session, trap *trapped) {
			trap.arm()
			_, _ = s.TryOpen()
		},
		"keepalive": func(t *testing.T, _, _ *mux.Session, trap *trapped) {
			trap.arm()
			time.Sleep(time.Minute)
		},
		"last writer": func(t *testing.T, s, _ *mux.Session, trap *trapped) {
			trap.arm()
			s.Close()
		},
		"turn": func(t *testing.T, _, peer *mux.Session, _ *trapped) {
			for range 2 { // the second has to wait
				if _, err := peer.TryOpen(); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(2 * time.Second)
		},
	} {
		for _, tries := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					var told []any
					lanes := 0
					x, y := testnet.Pipe()
					trap := &trapped{Conn: x}
					var conn net.Conn = trap
					if tries {
						conn = trapTries{trap}
					}
					s := mux.Server(conn, mux.Config{
						Rates:    mux.Rates{Opens: mux.Rate{PerSecond: 1, Burst: 1}},
						Panicked: func(v any) { mu.Lock(); defer mu.Unlock(); told = append(told, v) },
						Handle: func(*mux.Stream, *mux.Batch) {
							if lanes++; lanes == 2 {
								panic("a trap")
							}
						},
					})
					peer := mux.Client(y, mux.Config{DeadAfter: -1})
					var wg sync.WaitGroup
					wg.Go(func() { _ = s.Run() })
					test(t, s, peer, trap)
					wg.Wait()
					<-peer.Done()
					s.Abort(nil)
					if err := s.Err(); err != mux.ErrPanic && !(name == "last writer" && errors.Is(err, mux.ErrSessionClosed)) {
						t.Errorf("the session ended with %v", err)
					}
					if !slices.Equal(told, []any{"a trap"}) {
						t.Errorf("told of %v, want one panic", told)
					}
					peer.Abort(nil)
				})
			})
		}
	}
}
