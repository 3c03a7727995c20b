package switchboard

import (
	"slices"
	"strings"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/names"
)

// namelessLocked are the sessions that own no name, as entries without one, in
// order: those behind after, if that is a session.
func (s *Server) namelessLocked(after string) (all []*names.Entry) {
	from, _ := control.ParseSession(after) // else 0: all
	for _, sess := range s.sessionsLocked(from) {
		if len(s.registry.NamesOf(sess.id)) == 0 {
			all = append(all, &names.Entry{Owner: sess.owner(), Since: sess.began})
		}
	}
	return all
}

// pageOfEverybody is page for administrators: every name of every tenant, and
// behind the last the sessions without a name, if all names were asked for.
func (l *listing) pageOfEverybody(entries, nameless []*names.Entry) (parts [][]byte, more bool) {
	type line struct {
		text  string
		entry *names.Entry
	}
	var lines []line
	_, behindNames := control.ParseSession(l.after)
	for _, e := range entries {
		text := l.rights.text(e.Name)
		if !behindNames && text > l.after && l.match.covers(l.rights.tenant(), object(e.Name)) {
			lines = append(lines, line{text, e})
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.text, b.text) })
	if l.match.scope == scopeAll && !l.brief {
		for _, e := range nameless {
			lines = append(lines, line{"", e})
		}
	}
	room := control.MaxPeerBody - pageRoom
	var b []byte
	for _, w := range lines {
		before := len(b)
		if before > 0 {
			b = append(b, ',')
		}
		if l.brief {
			b = append(append(append(b, '"'), w.text...), '"')
		} else {
			e := wireEntry(w.entry)
			e.Name, e.Info = w.text, nil
			b = control.AppendEntry(b, &e)
		}
		if len(b) > room {
			return [][]byte{b[:before]}, true
		}
	}
	if len(b) == 0 {
		return nil, false
	}
	return [][]byte{b}, false
}
