package mux_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// over is what a Splice has said.
type over struct {
	mu     sync.Mutex
	times  int
	broken *mux.Stream
	err    error
}

func (o *over) note(broken *mux.Stream, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.times, o.broken, o.err = o.times+1, broken, err
}

func (o *over) get() (int, *mux.Stream, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.times, o.broken, o.err
}

// spliced is two raw peers and the streams of the server that are joined: x of
// the session with the first, opened by it as 1; y of that with the second,
// opened by the server as 2.
type spliced struct {
	a, b   *raw
	sa, sb *mux.Session
	x, y   *mux.Stream
	j      *mux.Splice
	over   over
}

func splice(t *testing.T, cfg mux.Config, early ...frame) *spliced {
	t.Helper()
	p := &spliced{}
	p.sa, p.a = rawClient(t, cfg)
	p.sb, p.b = rawClient(t, cfg)
	var err error
	p.a.send(open(1))
	p.a.send(early...)
	if p.x, err = p.sa.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.a.want(flags(1, ack))
	if p.y, err = p.sb.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.b.want(flags(2, syn))
	p.b.send(flags(2, ack))
	synctest.Wait()
	p.j = &mux.Splice{Over: p.over.note}
	p.j.Join(p.x, p.y)
	return p
}

// TestSpliceFrames: what goes in comes out, under the other id: data with the
// frames put together or not, FIN as FIN, and windows from end to end.
func TestSpliceFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := splice(t, mux.Config{}, text(1, "early"))
		p.b.want(text(2, "early"))
		p.a.send(text(1, "one"))
		synctest.Wait()
		p.b.want(text(2, "one"))
		p.b.send(text(2, "back"))
		p.a.want(text(1, "back"))

		big := strings.Repeat("x", initial-8) // all that a's peer may send yet
		p.a.send(text(1, big))
		var got bytes.Buffer
		for got.Len() < len(big) {
			f, err := p.b.next()
			if err != nil || f.typ != data || f.id != 2 {
				t.Fatalf("got %v, %v", f, err)
			}
			got.WriteString(f.body)
		}
		if got.String() != big {
			t.Error("other bytes have come")
		}
		p.b.send(update(2, 700_000)) // is granted to the other end, as it is
		p.a.want(update(1, 700_000))
		p.a.send(flags(1, fin))
		p.b.want(flags(2, fin))
		p.b.send(text(2, "last"), flags(2, fin))
		p.a.want(text(1, "last"), flags(1, fin))
		synctest.Wait()
		if n, broken, err := p.over.get(); n != 1 || broken != nil || err != nil {
			t.Errorf("over %d times: %v, %v", n, broken, err)
		}
		if ab, ba := p.j.AB.Load(), p.j.BA.Load(); ab != int64(len("earlyone")+len(big)) || ba != int64(len("backlast")) {
			t.Errorf("counted %d and %d", ab, ba)
		}
		for _, s := range []*mux.Session{p.sa, p.sb} {
			if held, queued, _ := mux.Accounts(s); s.NumStreams() != 0 || held != 0 || queued != 0 {
				t.Errorf("left: %d streams, %d held, %d queued", s.NumStreams(), held, queued)
			}
		}
	})
}

// TestSpliceCredit: what one end grants beyond the first window reaches the
// other when it has used some of the first.
func TestSpliceCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := splice(t, mux.Config{})
		p.b.send(update(2, 768<<10))
		synctest.Wait()
		p.a.send(text(1, strings.Repeat("x", initial/4)))
		synctest.Wait()
		p.a.send(text(1, "y"))
		p.a.want(update(1, 768<<10))
	})
}

// TestSpliceBreaks: a reset, with its reason, or the end of a session is told
// once, with the stream and the error.
func TestSpliceBreaks(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(p *spliced)
		err  error
		ofB  bool
	}{
		{"reset by a", func(p *spliced) { p.a.send(reset(1, mux.ReasonQuota)) }, mux.ErrReset, false},
		{"reset by b", func(p *spliced) { p.b.send(reset(2, mux.ReasonNone)) }, mux.ErrReset, true},
		{"a is cut", func(p *spliced) { p.a.Close() }, io.ErrUnexpectedEOF, false},
		{"b breaks the rules", func(p *spliced) { p.b.send(frame{typ: 9}) }, mux.ErrProtocol, true},
		{"we abort b", func(p *spliced) { p.sb.Abort(nil) }, mux.ErrSessionClosed, true},
		{"after a's end", func(p *spliced) {
			p.a.send(flags(1, fin))
			synctest.Wait()
			p.b.send(flags(2, rst))
		}, mux.ErrReset, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := splice(t, mux.Config{})
				c.do(p)
				synctest.Wait()
				n, broken, err := p.over.get()
				if n != 1 || (broken == p.y) != c.ofB || !errors.Is(err, c.err) {
					t.Errorf("over %d times, b: %v, %v, want %v", n, broken == p.y, err, c.err)
				}
			})
		})
	}
}

// TestSpliceBudget: what a peer does not take is held for it and charged to its
// session's budget; over it the fullest stream goes, for quota. The bound may change
// while the session runs.
func TestSpliceBudget(t *testing.T) {
	for name, first := range map[string]int{"from the start": 300 << 10, "lowered": 64 << 20} {
		t.Run(name, func(t *testing.T) { spliceBudget(t, mux.NewBudget(first), 300<<10) })
	}
}

func spliceBudget(t *testing.T, budget *mux.Budget, limit int) {
	synctest.Test(t, func(t *testing.T) {
		p := splice(t, mux.Config{Budget: budget, WriteTimeout: time.Hour, KeepAlive: -1, DeadAfter: -1})
		budget.SetLimit(limit)
		p.b.send(update(2, 8<<20)) // and reads nothing: its connection fills, then the splice
		chunk := strings.Repeat("x", 64<<10)
		synctest.Wait()
		for i := range 50 {
			p.a.send(text(1, chunk))
			if i < 3 { // the window comes with the second
				synctest.Wait()
			}
		}
		synctest.Wait()
		if n, _, err := p.over.get(); n != 1 || !errors.Is(err, mux.ErrHeld) {
			t.Errorf("over %d times: %v, want ErrHeld", n, err)
		}
		p.x.Reset(mux.ReasonQuota)
		var f frame
		for f.flags&rst == 0 {
			var err error
			if f, err = p.a.next(); err != nil {
				t.Fatal(err)
			}
		}
		if f != reset(1, mux.ReasonQuota) {
			t.Errorf("got %v, want a reset for quota", f)
		}
		if n := budget.Held(); n != 0 {
			t.Errorf("%d bytes are still charged", n)
		}
	})
}
