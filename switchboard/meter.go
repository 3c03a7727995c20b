package switchboard

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// meter counts what a key has called within the last 60 s. The windows of a key
// that calls nothing hold nothing.
type meter struct {
	messages policy.Alarm // connects
	reads    policy.Alarm // list, get, watch
	methods  map[string]*policy.Window
}

func newMeter() *meter {
	return &meter{
		messages: policy.Alarm{Limit: policy.HighMessages},
		reads:    policy.Alarm{Limit: policy.HighDataAccesses},
		methods:  make(map[string]*policy.Window),
	}
}

// note counts one call, and returns the word of the alarm that it raises, and how
// many calls did.
func (m *meter) note(method string, now time.Time) (word string, n int) {
	if method == control.MethodConnect {
		if m.messages.Note(now) {
			return policy.HighMessageRate, m.messages.Count(now)
		}
		return "", 0
	}
	w := m.methods[method]
	if w == nil {
		w = new(policy.Window)
		m.methods[method] = w
	}
	w.Add(now, 1)
	switch method {
	case control.MethodList, control.MethodGet, control.MethodWatch:
		if m.reads.Note(now) {
			return policy.HighDataAccessRate, m.reads.Count(now)
		}
	}
	return "", 0
}

// rates lists what was called.
func (m *meter) rates(key shs.PublicKey, now time.Time) (all []control.Rate) {
	if n := m.messages.Count(now); n > 0 {
		all = append(all, control.Rate{ID: key, Method: control.MethodConnect, Count: n})
	}
	for _, method := range slices.Sorted(maps.Keys(m.methods)) {
		if n := m.methods[method].Count(now); n > 0 {
			all = append(all, control.Rate{ID: key, Method: method, Count: n})
		}
	}
	return all
}

// meterLocked counts a call of a key.
func (b *books) meterLocked(key shs.PublicKey, k *keyBooks, method string, now time.Time) {
	if k.meter == nil {
		k.meter = newMeter()
	}
	if word, n := k.meter.note(method, now); word != "" && b.alarm != nil {
		b.alarm(key, word, n)
	}
}

// raise writes down that a key calls very often. It is no offence.
func (s *Server) raise(key shs.PublicKey, word string, n int) {
	what := "connects"
	if word == policy.HighDataAccessRate {
		what = "reads of names"
	}
	s.note(audit.Event{Event: word, Actor: key.String(), N: uint64(n),
		Attrs: map[string]string{"severity": "medium", "details": what + " within the last 60 s"}})
}

// counts are counters since the server's start. Safe for concurrent use.
type counts struct {
	calls, opened, moved, logins atomic.Uint64
	bytes                        atomic.Int64 // relayed by channels that are over
	codes                        map[control.Code]*atomic.Int64
}

func newCounts() *counts {
	c := &counts{codes: make(map[control.Code]*atomic.Int64)}
	for _, code := range control.Codes() {
		c.codes[code] = new(atomic.Int64)
	}
	return c
}

// refused counts an error answer by its code.
func (c *counts) refused(err error) {
	if n := c.codes[control.Code(control.ToWire(err).Name)]; n != nil {
		n.Add(1)
	}
}

// byCode are the error answers of each code that there were.
func (c *counts) byCode() map[string]int64 {
	all := make(map[string]int64)
	for code, n := range c.codes {
		if n := n.Load(); n > 0 {
			all[string(code)] = n
		}
	}
	return all
}
