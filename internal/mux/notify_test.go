package mux_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// TestNotifyEnd: whoever waits for a stream hears of its end, whatever ends it.
func TestNotifyEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(s *mux.Session, st *mux.Stream, peer *raw)
	}{
		{"the peer's end", func(_ *mux.Session, st *mux.Stream, peer *raw) { peer.send(flags(st.ID(), fin)) }},
		{"the peer's reset", func(_ *mux.Session, st *mux.Stream, peer *raw) { peer.send(flags(st.ID(), rst)) }},
		{"the session's end", func(s *mux.Session, _ *mux.Stream, _ *raw) { s.Abort(nil) }},
		{"Abort", func(_ *mux.Session, st *mux.Stream, _ *raw) { st.Abort() }},
		{"Close", func(_ *mux.Session, st *mux.Stream, _ *raw) { st.Close() }},
		{"the Budget", func(_ *mux.Session, st *mux.Stream, peer *raw) {
			peer.send(text(st.ID(), strings.Repeat("x", 100_000)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer := rawClient(t, mux.Config{Budget: mux.NewBudget(64 << 10)})
				peer.send(open(1))
				st, err := s.Accept(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var heard atomic.Int32
				st.Notify(1<<20, func(*mux.Batch) { heard.Add(1) })
				c.end(s, st, peer)
				time.Sleep(time.Minute)
				if n := heard.Load(); n != 1 {
					t.Errorf("heard of it %d times", n)
				}
				peer.Close()
				s.Abort(nil)
			})
		})
	}
}
