package switchboard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
	"pgregory.net/rapid"
)

// modelEnd and model are the same rules written plainly: nothing is removed, and
// every question looks at everything.
type modelEnd struct {
	key     shs.PublicKey
	session uint64
	since   time.Time // without a session
	done    bool
}

type model map[channel.ID]*struct {
	ends            [2]modelEnd
	survive, closed bool
}

func (m model) alive(id channel.ID, now time.Time) bool {
	c := m[id]
	if c == nil {
		return false
	}
	for _, e := range c.ends {
		if !e.done && (e.session != 0 || now.Sub(e.since) < directLease) {
			return true
		}
	}
	return false
}

// tick ends what has waited too long, and returns who is told.
func (m model) tick(now time.Time) (tell []string) {
	for id, c := range m {
		for r := range c.ends {
			e := &c.ends[r]
			if e.done || e.session != 0 || now.Sub(e.since) < directLease || c.survive && !c.closed {
				continue
			}
			e.done = true
			if c.closed {
				continue
			}
			c.closed = true
			for r := range c.ends {
				if o := &c.ends[r]; o.session != 0 {
					tell = append(tell, fmt.Sprint(o.session, id))
					*o = modelEnd{key: o.key, done: true}
				}
			}
		}
	}
	for id := range m {
		if !m.alive(id, now) {
			delete(m, id)
		}
	}
	return tell
}

func TestMovedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		books, mod := newMovedBooks(1000, directLease), make(model)
		keyOf := func(session uint64) shs.PublicKey { return shs.PublicKey{byte(session % 3)} }
		anyID := rapid.Custom(func(t *rapid.T) channel.ID { return channel.ID{byte(rapid.IntRange(1, 3).Draw(t, "id"))} })
		anySession := rapid.Uint64Range(1, 6)
		anyRole := rapid.Custom(func(t *rapid.T) role { return role(rapid.IntRange(0, 1).Draw(t, "role")) })
		same := func(what string, got, want any) {
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s: got %v, the model says %v", what, got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"move": func(t *rapid.T) {
				id, a, b, survive := anyID.Draw(t, "id"), anySession.Draw(t, "a"), anySession.Draw(t, "b"), rapid.Bool().Draw(t, "survive")
				if mod[id] != nil {
					t.Skip("no id comes twice")
				}
				m := &moved{id: id, survive: survive}
				m.ends[0] = movedEnd{key: keyOf(a), session: a}
				m.ends[1] = movedEnd{key: keyOf(b), session: b}
				books.enter(now, m)
				c := mod.add(id, survive)
				c[0], c[1] = modelEnd{key: keyOf(a), session: a}, modelEnd{key: keyOf(b), session: b}
			},
			"adopt": func(t *rapid.T) {
				a := adoption{id: anyID.Draw(t, "id"), role: anyRole.Draw(t, "role"), session: anySession.Draw(t, "session"),
					survive: rapid.Bool().Draw(t, "survive"), peer: shs.PublicKey{rapid.Byte().Draw(t, "peer") % 3}}
				a.key = keyOf(a.session)
				same("adopt", books.adopt(now, a), mod.adopt(now, a))
			},
			"closed": func(t *rapid.T) {
				id, s := anyID.Draw(t, "id"), anySession.Draw(t, "session")
				same("closed", books.closed(id, s, keyOf(s)), mod.endClosed(id, s, keyOf(s)))
			},
			"gone": func(t *rapid.T) {
				s := anySession.Draw(t, "session")
				same("told by gone", books.gone(now, s), []notice(nil))
				for _, c := range mod {
					for r := range c.ends {
						if e := &c.ends[r]; e.session == s {
							e.session, e.since = 0, now
						}
					}
				}
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 70).Draw(t, "seconds")) * time.Second)
			},
			"": func(t *rapid.T) {
				var told []string
				for _, n := range books.expire(now) {
					told = append(told, fmt.Sprint(n.session, n.id))
				}
				want := mod.tick(now)
				slices.Sort(told)
				slices.Sort(want)
				same("told", told, want)
				same("number", len(books.channels), len(mod))
				for id := range books.channels {
					if mod[id] == nil {
						t.Fatalf("%v is in the books only", id)
					}
				}
				if next := books.next(); !next.IsZero() && !next.After(now) {
					t.Fatalf("something is due at %v, it is %v", next, now)
				}
				books.check(t)
			},
		})
	})
}

func (m model) add(id channel.ID, survive bool) *[2]modelEnd {
	c := &struct {
		ends            [2]modelEnd
		survive, closed bool
	}{survive: survive}
	m[id] = c
	return &c.ends
}

func (m model) adopt(now time.Time, a adoption) bool {
	c := m[a.id]
	if c == nil {
		ends := m.add(a.id, a.survive)
		ends[a.role] = modelEnd{key: a.key, session: a.session}
		ends[a.role.other()] = modelEnd{key: a.peer, since: now}
		return true
	}
	e := &c.ends[a.role]
	if e.key != a.key || c.ends[a.role.other()].key != a.peer || e.done {
		return false
	}
	if c.closed {
		e.done = true
		return false
	}
	e.session, c.survive = a.session, a.survive
	if o := &c.ends[a.role.other()]; o.session == 0 && !o.done && now.Sub(o.since) >= directLease && !c.survive {
		o.since = now
	}
	return true
}

func (m model) endClosed(id channel.ID, session uint64, key shs.PublicKey) bool {
	c := m[id]
	if c == nil {
		return false
	}
	for r := range c.ends {
		if e := &c.ends[r]; e.session == session && !e.done {
			*e = modelEnd{key: e.key, done: true}
			return true
		}
	}
	for r := range c.ends {
		if e := &c.ends[r]; e.session == 0 && !e.done && e.key == key {
			e.done = true
			return true
		}
	}
	return false
}
