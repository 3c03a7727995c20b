package switchboard

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Why a connection is closed before it is a session. Words for the log; the peer
// sees a closed connection and nothing else.
var (
	errEvicted        = errors.New("it waited longest while others came")
	errSourceSessions = errors.New("too many sessions of this source")
	errUserSessions   = errors.New("too many sessions of this user")
)

// admission is what stands between an accepted connection and its session: the
// connections in handshake, where they come from, and the counters. One lock
// guards it; nobody holds it over I/O.
//
// The pools are apart, so that none starves another: TCP; Unix sockets, by
// process, and beside them a few places for administrators. Who is one shows
// only when a key is proven; but sbctl is a process that has just begun, and what
// floods the socket is not. So while the pool of Unix sockets is full a
// connection gets one of these places if its process has none there and none in
// the pool, and keeps it against those that come later.
type admission struct {
	limits *Admission
	log    *slog.Logger
	began  time.Time
	work   chan struct{} // who does the arithmetic of a handshake has put one in
	tally  tally
	barred func(src source, why outcome, d time.Duration) // hears of sources that are barred; nil: nobody
	lines  lineRate                                       // about single connections
	alarms lineRate

	rung token // somebody waits on the porch of net

	mu      sync.Mutex
	due     time.Duration // when the next handshake over TCP is due, if they began at HandshakeRate
	sources *sources
	net     *halfOpen
	unix    *halfOpen
	admin   *halfOpen
	local   *halfOpen
	over    bool // new ones are dropped
}

func newAdmission(l *Admission, log *slog.Logger) *admission {
	return &admission{
		limits:  l,
		log:     log,
		began:   time.Now(),
		work:    make(chan struct{}, l.Handshakes),
		tally:   newTally(),
		rung:    make(token, 1),
		sources: newSources(l),
		net:     newHalfOpen(l.HalfOpenNet),
		unix:    newHalfOpen(l.HalfOpenUnix),
		admin:   newHalfOpen(l.HalfOpenAdmin),
		local:   newHalfOpen(l.HalfOpenUnix),
	}
}

func (a *admission) now() time.Duration { return time.Since(a.began) }

// arrive takes in an accepted connection, or says why not. The connection is
// closed when it has to make room.
func (a *admission) arrive(conn net.Conn, o origin) (*visit, error) {
	src := placeOf(o, conn).source()
	a.mu.Lock()
	why := a.sources.arrive(a.now(), src)
	if why != taken {
		barred := a.sources.barredFor(a.now(), src)
		a.mu.Unlock()
		a.tally.count(why)
		if why == refusedRate {
			a.sayBarred(src, why, barred)
		}
		return nil, why
	}
	v := newVisit(a, conn, o, src)
	var victim *waiting
	v.seat, victim = a.seatLocked(o, src, v.drop)
	v.door = v.seat.pool.door
	over := a.over
	a.mu.Unlock()
	a.tally.count(taken)
	if victim != nil {
		a.tally.count(evicted)
		victim.drop(errEvicted)
	}
	if over {
		v.drop(errStopping)
	}
	return v, nil
}

// seatLocked finds a place for a connection, and who has to go for it.
func (a *admission) seatLocked(o origin, src source, drop func(error)) (w, victim *waiting) {
	pool := a.local
	switch o.transport {
	case transportNet:
		pool = a.net
	case transportUnix:
		pool, src = a.unix, numbered(sourceProcess, uint32(o.pid))
		if pool.n >= pool.max && a.admin.n < a.admin.max && pool.crowds[src] == nil && a.admin.crowds[src] == nil {
			pool = a.admin
			a.tally.count(seatedAside)
		}
	}
	wait := a.waitsLocked(pool, src)
	if wait {
		a.tally.count(delayed)
		a.rung.tell()
	}
	return pool.add(a.now(), src, drop, wait)
}

// panicked charges a source for a panic.
func (a *admission) panicked(src source) {
	a.mu.Lock()
	barred := a.sources.offend(a.now(), src, a.limits.PenaltyPanic)
	a.mu.Unlock()
	a.tally.count(panicked)
	a.sayBarred(src, panicked, barred)
}

func (a *admission) sayBarred(src source, why outcome, d time.Duration) {
	if d > 0 {
		if a.barred != nil {
			a.barred(src, why, d)
		}
		a.say(&a.alarms, "source barred", "source", src.String(), "for", d.Round(time.Second), "reason", why.Error())
	}
}

// shed closes the connection in handshake that is the first to go, of the fullest
// pool, to make room for a descriptor.
func (a *admission) shed() bool {
	a.mu.Lock()
	fullest := a.net
	if a.unix.n > fullest.n {
		fullest = a.unix
	}
	w := fullest.shed(a.now())
	a.mu.Unlock()
	if w == nil {
		return false
	}
	a.tally.count(shed)
	w.drop(errEvicted)
	return true
}

// close drops all connections in handshake, and from now on each that arrives.
func (a *admission) close() {
	a.mu.Lock()
	a.over = true
	var all []*waiting
	for _, pool := range []*halfOpen{a.net, a.unix, a.admin, a.local} {
		for w := pool.shed(a.now()); w != nil; w = pool.shed(a.now()) {
			all = append(all, w)
		}
	}
	a.mu.Unlock()
	for _, w := range all {
		w.drop(errStopping)
	}
}

// admissionStats are the counters of an admission at one moment.
type admissionStats struct {
	HalfOpenNet, HalfOpenUnix, HalfOpenAdmin, HalfOpenLocal int // now
	Sources, Barred                                         int // remembered, and of these refused now
	MostHandshakes                                          int // whose arithmetic was done at once, ever
	Counts                                                  map[string]int64
}

func (a *admission) snapshot() admissionStats {
	a.mu.Lock()
	s := admissionStats{
		HalfOpenNet: a.net.n, HalfOpenUnix: a.unix.n, HalfOpenAdmin: a.admin.n, HalfOpenLocal: a.local.n,
		Sources: len(a.sources.of), Barred: a.sources.barred(a.now()),
	}
	a.mu.Unlock()
	s.MostHandshakes = int(a.tally.together.Load())
	s.Counts = a.tally.counts()
	return s
}

// attrs are the counters for a log line: those that are not zero.
func (s admissionStats) attrs() (all []any) {
	all = append(all, "half_open", fmt.Sprintf("net %d, unix %d, admin %d", s.HalfOpenNet, s.HalfOpenUnix, s.HalfOpenAdmin),
		"sources", s.Sources, "barred", s.Barred, "most_handshakes", s.MostHandshakes)
	for e := range outcomes {
		if n := s.Counts[e.Error()]; n > 0 {
			all = append(all, e.Error(), n)
		}
	}
	return all
}
