package mux_test

import (
	"testing"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// TestResetTwice: the first reason of a reset stays.
func TestResetTwice(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	const streams = 50
	ids := make(map[uint32]bool)
	for i := range uint32(streams) {
		id := 2*i + 1
		ids[id] = true
		peer.send(open(id))
	}
	for range streams {
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st.Reset(mux.ReasonShutdown)
		st.Reset(mux.ReasonGone)
	}
	for len(ids) > 0 {
		f, err := peer.next()
		if err != nil {
			t.Fatal(err)
		}
		if f.flags&rst == 0 {
			continue
		}
		if delete(ids, f.id); f.length != uint32(mux.ReasonShutdown) {
			t.Fatalf("got %v, want the first reason", f)
		}
	}
}
