package names

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// model is PROTOCOL.md §5 once more, as plainly as it can be said: a name is a
// list of claims, the first of which owns, and every limit is counted anew each
// time. It knows no epochs, revs, log or books.
type model struct {
	limits Limits
	names  map[Name][]claim
	acts   []act
}

// event is a change without its numbers.
type event struct {
	kind     Kind
	name     Name
	was, now uint64 // sessions; 0: none
	info     string
}

// held counts the names and waits of a key.
func (m *model) held(key [32]byte) (n int) {
	for _, line := range m.names {
		for _, c := range line {
			if c.Key == key {
				n++
			}
		}
	}
	return n
}

// fits puts line in the place of n's, unless a limit forbids it.
func (m *model) fits(n Name, line []claim, key [32]byte) bool {
	before, owned := m.names[n]
	m.names[n] = line
	if m.held(key) <= m.limits.NamesPerKey && len(line)-1 <= m.limits.WaitersPerName {
		return true
	}
	if m.names[n] = before; !owned {
		delete(m.names, n)
	}
	return false
}

func (m *model) claim(now time.Time, n Name, c claim, replace bool) (string, []event) {
	line := m.names[n]
	place := slices.IndexFunc(line, func(x claim) bool { return x.Session == c.Session })
	without := slices.DeleteFunc(slices.Clone(line), func(x claim) bool { return x.Session == c.Session })
	switch {
	case Reserved(n):
		return "reserved", nil
	case len(line) == 0:
		if !m.fits(n, []claim{c}, c.Key) {
			return "quota", nil
		}
		return "owner", []event{{Connected, n, 0, c.Session, string(c.info)}}
	case place == 0:
		old := line[0]
		if c.info == nil {
			c.info = old.info
		}
		line[0] = c
		if bytes.Equal(old.info, c.info) {
			return "owner", nil
		}
		return "owner", []event{{Updated, n, 0, c.Session, string(c.info)}}
	case replace && (line[0].yield || line[0].Key == c.Key):
		recent := slices.DeleteFunc(slices.Clone(m.acts), func(a act) bool {
			return a.actor != (actor{c.Key, n}) || now.Sub(a.at) >= 30*time.Second
		})
		if len(recent) >= 3 {
			return "rate", nil
		}
		old := without[0]
		if !old.queue {
			without = without[1:]
		}
		if !m.fits(n, append([]claim{c}, without...), c.Key) {
			return "quota", nil
		}
		m.acts = append(m.acts, act{now, actor{c.Key, n}})
		return "owner", []event{{Moved, n, old.Session, c.Session, string(c.info)}}
	case c.queue && place > 0:
		line[place] = c
		return "waiting", nil
	case c.queue:
		if !m.fits(n, append(without, c), c.Key) {
			return "quota", nil
		}
		return "waiting", nil
	default:
		m.names[n] = without
		return "taken", nil
	}
}

func (m *model) release(n Name, session uint64) (string, []event) {
	line := m.names[n]
	place := slices.IndexFunc(line, func(x claim) bool { return x.Session == session })
	if place < 0 {
		return "not_owner", nil
	}
	m.names[n] = slices.Delete(slices.Clone(line), place, place+1)
	switch {
	case place > 0:
		return "ok", nil
	case len(line) == 1:
		delete(m.names, n)
		return "ok", []event{{Disconnected, n, session, 0, ""}}
	}
	return "ok", []event{{Moved, n, session, line[1].Session, string(line[1].info)}}
}

func (m *model) update(n Name, session uint64, info []byte) (string, []event) {
	line := m.names[n]
	if len(line) == 0 || line[0].Session != session {
		return "not_owner", nil
	}
	if bytes.Equal(line[0].info, info) {
		return "ok", nil
	}
	line[0].info = info
	return "ok", []event{{Updated, n, 0, session, string(info)}}
}

func (m *model) drop(session uint64) (events []event) {
	var owned []Name
	for n, line := range m.names {
		if line[0].Session == session {
			owned = append(owned, n)
		} else {
			m.release(n, session)
		}
	}
	slices.SortFunc(owned, func(a, b Name) int { return strings.Compare(string(a), string(b)) })
	for _, n := range owned {
		_, e := m.release(n, session)
		events = append(events, e...)
	}
	return events
}
