package mux_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// holder is a session with streams that nobody reads.
type holder struct {
	*raw
	s       *mux.Session
	streams []*mux.Stream
	resets  []frame // that came while it was filled
}

// holding makes a session under a budget, whose peer sends so many bytes on each
// stream.
func holding(t *testing.T, cfg mux.Config, sizes ...int) *holder {
	t.Helper()
	h := &holder{}
	h.s, h.raw = rawClient(t, cfg)
	for i, n := range sizes {
		id := uint32(2*i + 1)
		h.send(open(id))
		st, err := h.s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.want(flags(id, ack))
		h.send(text(id, strings.Repeat("x", n)))
		h.streams = append(h.streams, st)
	}
	for v := range uint32(2) { // the second answer comes after what the bytes before the first have caused
		h.send(pinged(syn, v))
		for f := (frame{}); f != pinged(ack, v); {
			var err error
			if f, err = h.next(); err != nil {
				t.Fatal(err)
			}
			if f.flags&rst != 0 {
				h.resets = append(h.resets, f)
			}
		}
	}
	return h
}

// lost are the streams that were reset for their memory.
func (h *holder) lost(t *testing.T) (ids []uint32) {
	t.Helper()
	for _, st := range h.streams {
		switch n, err := st.Read(make([]byte, 1)); {
		case errors.Is(err, mux.ErrHeld):
			ids = append(ids, st.ID())
		case n != 1 || err != nil:
			t.Errorf("stream %d: %d, %v", st.ID(), n, err)
		}
	}
	return ids
}

// end gives up the streams and the session.
func (h *holder) end() {
	for _, st := range h.streams {
		st.Abort()
	}
	h.s.Abort(nil)
}

// TestBudgetParts: over the bound of the whole the fullest part loses the fullest
// stream of its fullest session, though another session or stream holds more; a
// part has its own bound as before, and what is read or reset is given back to both.
func TestBudgetParts(t *testing.T) {
	const k = 16 << 10 // a chunk: what a stream holds may be one more than was sent
	whole, excess := mux.NewBudget(41*k), new(mux.Excess)
	part := func(limit int) mux.Config { return mux.Config{Budget: whole.Part(limit), Excess: excess} }
	many, few, small := part(100*k), part(100*k), part(6*k)
	met := func(own, all int64) {
		t.Helper()
		if excess.Held.Load() != own || excess.Whole.Load() != all {
			t.Errorf("%d for the bound of a part, %d for that of the whole; want %d and %d", excess.Held.Load(), excess.Whole.Load(), own, all)
		}
	}

	d := holding(t, small, 4*k, 5*k)
	met(1, 0)
	if got := d.lost(t); !slices.Equal(got, []uint32{1}) {
		t.Errorf("a part over its own bound has lost %v", got)
	}
	d.end()
	if n := whole.Held(); n != 0 {
		t.Fatalf("%d bytes are charged to nobody", n)
	}
	a, b := holding(t, many, 4*k, 8*k), holding(t, many, 4*k)
	c := holding(t, few, 16*k)
	met(1, 0)
	e := holding(t, few, 13*k) // few is the fullest when all pass the bound, and c of it
	met(1, 1)
	f, g := holding(t, many, 8*k), holding(t, many, 7*k) // now many is, and the second stream of a
	met(1, 2)

	for _, h := range []struct {
		*holder
		name string
		lost []uint32
	}{{a, "a", []uint32{3}}, {b, "b", nil}, {c, "c", []uint32{1}}, {e, "e", nil}, {f, "f", nil}, {g, "g", nil}} {
		if got := h.holder.lost(t); !slices.Equal(got, h.lost) {
			t.Errorf("session %s has lost %v, want %v", h.name, got, h.lost)
		}
	}
	a.want(reset(3, mux.ReasonQuota))
	c.want(reset(1, mux.ReasonQuota))
	if n := whole.Held(); n == 0 || n > 41*k || n != many.Budget.Held()+few.Budget.Held() {
		t.Errorf("%d are held, by the parts %d and %d", n, many.Budget.Held(), few.Budget.Held())
	}
	for _, h := range []*holder{a, b, c, e, f, g} {
		h.end()
	}
	if n := whole.Held(); n != 0 {
		t.Errorf("%d bytes are still charged", n)
	}
}

// TestBudgetLowered: a bound of the whole that is lowered holds with the next bytes,
// whoever sends them.
func TestBudgetLowered(t *testing.T) {
	whole := mux.NewBudget(1 << 20)
	full := holding(t, mux.Config{Budget: whole.Part(1 << 20)}, 200<<10)
	other := holding(t, mux.Config{Budget: whole.Part(1 << 20)}, 1)
	whole.SetLimit(100 << 10)
	other.send(text(1, "x"))
	full.want(reset(1, mux.ReasonQuota))
	other.alive()
	if n := len(other.lost(t)); n != 0 {
		t.Errorf("%d streams of the other were reset", n)
	}
}

// TestBudgetOfEnded: a part without a live session is none that could give way.
func TestBudgetOfEnded(t *testing.T) {
	whole := mux.NewBudget(300 << 10)
	gone := holding(t, mux.Config{Budget: whole.Part(1 << 20)}, 200<<10)
	gone.s.Abort(nil) // what has come can be read still
	h := holding(t, mux.Config{Budget: whole.Part(1 << 20)}, 60<<10, 70<<10)
	if want := reset(1, mux.ReasonQuota); !slices.Equal(h.resets, []frame{want}) {
		t.Errorf("got %v, want %v", h.resets, want)
	}
	if n := len(gone.lost(t)); n != 0 {
		t.Error("what an ended session had is lost")
	}
}

// TestBudgetOfUnaccepted: nobody reads what came for a stream that was never accepted,
// so the end of its session gives it back.
func TestBudgetOfUnaccepted(t *testing.T) {
	budget := mux.NewBudget(1 << 20)
	s, peer := rawClient(t, mux.Config{Budget: budget})
	peer.send(open(1), text(1, strings.Repeat("x", 1000)), open(3), text(3, "x"))
	peer.alive()
	if budget.Held() == 0 {
		t.Fatal("nothing is charged")
	}
	s.Abort(nil)
	if n := budget.Held(); n != 0 {
		t.Errorf("%d bytes are still charged", n)
	}
}
