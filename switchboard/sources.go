package switchboard

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// source is where connections come from, as far as it is held against them.
type source struct {
	kind sourceKind
	id   [8]byte // address, prefix, uid or process
}

type sourceKind uint8

const (
	sourceHere     sourceKind = iota // this process, or an unknown transport
	sourceLoopback                   // TCP from this machine
	sourceUser                       // a uid, over Unix sockets
	sourceProcess                    // a process, over Unix sockets
	sourceIPv4                       // one address
	sourceIPv6                       // a /64
)

// source is the source of a place.
func (p place) source() source {
	switch {
	case p.transport == transportUnix:
		return numbered(sourceUser, p.uid)
	case p.transport != transportNet || !p.remote.IsValid():
		return source{}
	case p.remote.IsLoopback():
		return source{kind: sourceLoopback}
	case p.remote.Is4():
		s := source{kind: sourceIPv4}
		a := p.remote.As4()
		copy(s.id[:], a[:])
		return s
	}
	a := p.remote.As16()
	return source{sourceIPv6, [8]byte(a[:8])}
}

func numbered(kind sourceKind, n uint32) source {
	s := source{kind: kind}
	binary.BigEndian.PutUint32(s.id[:], n)
	return s
}

// exempt reports whether no connection is refused because of its source.
func (s source) exempt() bool { return s.kind < sourceIPv4 }

// String writes a source for the log.
func (s source) String() string {
	switch s.kind {
	case sourceLoopback:
		return "loopback"
	case sourceUser:
		return fmt.Sprintf("uid %d", binary.BigEndian.Uint32(s.id[:]))
	case sourceProcess:
		return fmt.Sprintf("process %d", binary.BigEndian.Uint32(s.id[:]))
	case sourceIPv4:
		return netip.AddrFrom4([4]byte(s.id[:4])).String()
	case sourceIPv6:
		var a [16]byte
		copy(a[:], s.id[:])
		return netip.PrefixFrom(netip.AddrFrom16(a), 64).String()
	}
	return transportLocal
}

// sources is what is remembered of where connections came from: how many there
// are of each, how fast they come, and what they did wrong. It is pure: times
// are since any fixed moment, and arguments.
//
// It is bounded. A new source takes the place of the one without connections
// whose record is clean soonest; while all have connections it is refused.
type sources struct {
	limits *Admission
	of     map[source]*record
	idle   idleRecords // those without connections
}

// record is what is remembered of one source.
type record struct {
	source   source
	halfOpen int
	sessions int
	due      time.Duration // when its next connection is due, if it came at ConnectRate
	until    time.Duration // when its penalties are over
	known    time.Duration // until when it counts that somebody has logged in from here
	barred   bool          // they came to more than PenaltyMin
	place    int           // in idle; -1: it has connections
}

// knownFor is how long it counts that somebody has logged in.
const knownFor = time.Hour

// clean is when nothing is held against a source any more, nor in its favour.
func (r *record) clean() time.Duration { return max(r.due, r.until, r.known) }

func newSources(l *Admission) *sources {
	return &sources{limits: l, of: make(map[source]*record)}
}

// arrive decides on a new connection. An admitted one is half-open, until it
// settles.
func (t *sources) arrive(now time.Duration, src source) outcome {
	r, ok := t.enter(now, src)
	if !ok {
		return refusedTable
	}
	if !src.exempt() {
		if why := t.refuses(now, r); why != taken {
			t.rest(r)
			return why
		}
	}
	r.halfOpen++
	return taken
}

// enter finds the record of a source, or makes one, and takes it out of idle.
func (t *sources) enter(now time.Duration, src source) (r *record, ok bool) {
	if r = t.of[src]; r == nil {
		for range 2 { // one more than comes in: so it shrinks, at little cost each time
			if len(t.idle) > 0 && t.idle[0].clean() <= now {
				t.forget()
			}
		}
		if len(t.of) >= t.limits.Sources {
			if len(t.idle) == 0 {
				return nil, false
			}
			t.forget()
		}
		r = &record{source: src, place: -1}
		t.of[src] = r
	} else if r.place >= 0 {
		heap.Remove(&t.idle, r.place)
	}
	return r, true
}

// forget drops the source that is clean soonest.
func (t *sources) forget() {
	r := heap.Pop(&t.idle).(*record)
	delete(t.of, r.source)
}

// rest puts a record among the idle ones if it has no connection.
func (t *sources) rest(r *record) {
	if r.halfOpen+r.sessions == 0 && r.place < 0 {
		heap.Push(&t.idle, r)
	}
}

// refuses says why a connection of a source is to be refused now; it counts one
// that is not.
func (t *sources) refuses(now time.Duration, r *record) outcome {
	l := t.limits
	if r.barred = r.barred && now < r.until; r.barred {
		return refusedPenalty
	}
	if l.ConnectRate > 0 {
		every := time.Second / time.Duration(l.ConnectRate)
		due := max(r.due, now)
		if due-now > time.Duration(l.ConnectBurst-1)*every {
			t.charge(now, r, l.PenaltyHello)
			return refusedRate
		}
		r.due = due + every
	}
	if r.halfOpen >= l.HalfOpenPerSource {
		return refusedHalfOpen
	}
	return taken
}

// settle ends what arrive began: the connection is a session now, or gone.
func (t *sources) settle(src source) {
	r := t.of[src]
	r.halfOpen--
	t.rest(r)
}

// login takes a session slot of a source that has a connection; logout gives it
// back.
func (t *sources) login(src source) bool {
	r, most := t.of[src], t.limits.SessionsPerSource
	if src.kind == sourceUser {
		most = t.limits.SessionsPerUID
	}
	if r.sessions >= most && (src.kind == sourceUser || !src.exempt()) {
		return false
	}
	r.sessions++
	return true
}

func (t *sources) logout(src source) {
	r := t.of[src]
	r.sessions--
	t.rest(r)
}

// meet notes that somebody has logged in from a source that has a connection. It
// reports whether that was not known.
func (t *sources) meet(now time.Duration, src source) bool {
	r := t.of[src]
	was := now < r.known
	r.known = now + knownFor
	return !was
}

// knows reports whether somebody has logged in from a source of late.
func (t *sources) knows(now time.Duration, src source) bool {
	r := t.of[src]
	return r != nil && now < r.known
}

// offend adds a penalty. It reports for how long connections of the source are
// refused, if that begins now.
func (t *sources) offend(now time.Duration, src source, penalty time.Duration) time.Duration {
	if penalty <= 0 || src.exempt() {
		return 0
	}
	r, ok := t.enter(now, src)
	if !ok {
		return 0
	}
	began := t.charge(now, r, penalty)
	t.rest(r)
	return began
}

func (t *sources) charge(now time.Duration, r *record, penalty time.Duration) time.Duration {
	was := r.barred && now < r.until
	r.until = min(max(r.until, now)+max(penalty, 0), now+t.limits.PenaltyMax)
	if r.barred = was || r.until-now > t.limits.PenaltyMin; !was && r.barred {
		return r.until - now
	}
	return 0
}

// barredFor is for how long a source is refused still.
func (t *sources) barredFor(now time.Duration, src source) time.Duration {
	if r := t.of[src]; r != nil && r.barred {
		return max(0, r.until-now)
	}
	return 0
}

// barred counts the sources whose connections are refused now.
func (t *sources) barred(now time.Duration) (n int) {
	for _, r := range t.of {
		if r.barred && now < r.until {
			n++
		}
	}
	return n
}

// idleRecords is a heap: the record that is clean soonest is the first.
type idleRecords []*record

func (h idleRecords) Len() int           { return len(h) }
func (h idleRecords) Less(i, j int) bool { return h[i].clean() < h[j].clean() }
func (h idleRecords) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *idleRecords) Push(x any) {
	r := x.(*record)
	r.place = len(*h)
	*h = append(*h, r)
}
func (h *idleRecords) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	r.place = -1
	return r
}
