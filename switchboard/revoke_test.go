package switchboard_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/switchboard"
)

// A key that leaves the list loses its moved channels within a second: both ends
// are told, and an end that is away when it comes.
func TestRevokeMoved(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		id := p.moved()
		began := time.Now()
		must(t, d.srv.SetPolicy(listed(2, 3)))
		p.wantClose(p.mc, id, "revoked")
		p.wantClose(p.mp, id, "revoked")
		<-p.mc.Done()
		if took := time.Since(began); took > time.Second || d.srv.Moved() != 0 {
			t.Errorf("after %v, %d channels left", took, d.srv.Moved())
		}

	})
}

// A revoked peer that does not listen is ended within a second all the same.
func TestRevokeDeaf(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		id := p.moved()
		began := time.Now()
		must(t, d.srv.SetPolicy(listed(2)))
		p.wantClose(p.mp, id, "revoked")
		<-p.mc.Done() // which takes no stream of the server's
		if took := time.Since(began); took > time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// The other end of a revoked key may be away; it is told when it comes.
func TestRevokeAway(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		id := p.moved()
		p.mp.Close()
		p.mc.Close()
		synctest.Wait()
		must(t, d.srv.SetPolicy(listed(2)))
		lane := d.open(d.from(there, 2))
		if got := adopts(t, lane, 1, entry(id, 1, "callee")); got != "drop" {
			t.Errorf("adopted: %s", got)
		}
	})
}

// A server that stops leaves moved channels alone.
func TestStopLeavesMoved(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		p.moved()
		d.stop()
		for _, m := range []*mux.Session{p.mc, p.mp} {
			for {
				st, err := m.Accept(t.Context())
				if err != nil {
					break
				}
				if told := (&peer{t: t, lane: st}).want(0x02, 1); !bytes.Contains(told, []byte("going_away")) {
					t.Errorf("told %s", told)
				}
			}
		}
	})
}

// CloseChannel ends channels of both kinds, and those whose ends are away.
func TestCloseChannel(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		if err := d.srv.CloseChannel(channel.NewID(), "x"); !errors.Is(err, switchboard.ErrNoChannel) {
			t.Errorf("unknown: %v", err)
		}
		parse := func(s string) channel.ID {
			id, err := channel.ParseID(s)
			must(t, err)
			return id
		}
		c, q, o := p.connect("", "{}")
		c.want(0x0a, -1)
		must(t, d.srv.CloseChannel(parse(o.Channel), ""))
		p.wantClose(p.mc, o.Channel, "closed")
		p.wantClose(p.mp, o.Channel, "closed")
		c.wantCut()
		q.wantCut()
		synctest.Wait()
		if err := d.srv.CloseChannel(parse(o.Channel), "x"); !errors.Is(err, switchboard.ErrNoChannel) {
			t.Errorf("closed already: %v", err)
		}

		id := p.moved()
		must(t, d.srv.CloseChannel(parse(id), "why\x1b not"))
		p.wantClose(p.mc, id, "why not")
		p.wantClose(p.mp, id, "why not")

		id = p.moved()
		p.mp.Close()
		synctest.Wait()
		must(t, d.srv.CloseChannel(parse(id), "x"))
		p.wantClose(p.mc, id, "x")
		if got := adopts(t, d.open(d.from(there, 2)), 1, entry(id, 1, "callee")); got != "drop" || d.srv.Moved() != 0 {
			t.Errorf("adopted: %s, %d channels left", got, d.srv.Moved())
		}
	})
}
