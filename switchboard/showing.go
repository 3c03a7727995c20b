package switchboard

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/names"
)

// errNoName is the answer for what does not exist, and for what one may not see.
var errNoName = control.NotFound.With("no such name")

func (s *session) get(a control.NameArgs) (control.Entry, error) {
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	r := s.rights.Load()
	o, err := readName(r.tenant(), a.Name)
	if err != nil {
		return control.Entry{}, err
	}
	n := qualified(o.Tenant, o.Name)
	// Asked whether there is such a name or not, so that it takes as long.
	seen := s.sees(r, n)
	e, ok := s.srv.registry.Get(n)
	if !ok || !seen {
		return control.Entry{}, errNoName
	}
	return r.entry(e), nil
}

// list answers with a page of names, which is a control.ListResult. Who sees all
// names gets it from the roll, where it was written before.
func (s *session) list(raw []json.RawMessage) ([][]byte, error) {
	var a control.ListArgs
	if err := control.Decode(raw, &a); err != nil {
		return nil, err
	}
	if a.All {
		if err := s.administers(control.MethodList); err != nil {
			return nil, err
		}
	}
	s.srv.mu.Lock()
	r := s.rights.Load()
	m, err := readMatch(a.Match)
	if err != nil {
		s.srv.mu.Unlock()
		return nil, err
	}
	rev, entries := s.srv.registry.Snapshot(time.Now())
	var nameless []*names.Entry
	if a.All {
		nameless = s.srv.namelessLocked(a.After)
	}
	s.srv.mu.Unlock()

	l := listing{rights: r, match: m, after: a.After, brief: a.Brief}
	var listed [][]byte
	var more bool
	if a.All {
		listed, more = l.pageOfEverybody(entries, nameless)
	} else if r.all && (m.scope == scopeAll || m.scope == scopeOwn || m.scope == scopeTenant && m.tenant == "") {
		listed, more = l.page(s.srv.roll.at(entries))
	} else {
		listed, more = l.pageOfSeen(entries)
	}
	head := strconv.AppendUint([]byte(`{"rev":`), rev, 10)
	parts := slices.Concat([][]byte{append(head, `,"names":[`...)}, listed)
	if more {
		return append(parts, []byte(`],"more":true}`)), nil
	}
	return append(parts, []byte(`]}`)), nil
}

// pageOfSeen is page for those who do not see all names, or write some otherwise
// than the registry does.
func (l *listing) pageOfSeen(entries []*names.Entry) (parts [][]byte, more bool) {
	type line struct {
		text  string
		entry *names.Entry
	}
	var lines []line
	own := l.rights.tenant()
	for _, e := range entries {
		if !l.match.covers(own, object(e.Name)) || !l.rights.sees(e.Name) {
			continue
		}
		if text := l.rights.text(e.Name); l.after == "" || text > l.after {
			lines = append(lines, line{text, e})
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.text, b.text) })
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
			e := l.rights.entry(w.entry)
			e.Info = nil
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

// wireEntry writes an entry of the registry as it stands on the wire.
func wireEntry(e *names.Entry) control.Entry {
	return control.Entry{
		Name:      string(e.Name),
		ID:        e.Owner.Key,
		Session:   control.FormatSession(e.Owner.Session),
		Since:     e.Since.UnixMilli(),
		Epoch:     e.Epoch,
		Info:      e.Info,
		Transport: e.Owner.Transport,
		Waiters:   e.Waiters,
	}
}
