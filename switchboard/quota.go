package switchboard

import (
	"fmt"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// Quota are the limits that differ by level (PROTOCOL.md §8). A zero field takes
// the level's default.
type Quota struct {
	Lanes       int // per session, both directions
	CallRate    int // calls per second and key
	CallBurst   int // calls at once and key
	OpenRate    int // lanes that a session opens per second
	NetOpenRate int // the same over TCP
	OpenBurst   int // lanes opened at once
	Held        int // bytes held for the sessions of one key
	ByteRate    int // bytes per second sent over the relay by one key
}

// Rate is at most N in Per.
type Rate struct {
	N   int
	Per time.Duration
}

// quota is that of a level, with the defaults filled in.
func (l *Limits) quota(level policy.Level) Quota {
	trusted := Quota{
		Lanes: l.Lanes, CallRate: l.CallRate, CallBurst: l.CallBurst,
		OpenRate: l.OpenRate, NetOpenRate: l.OpenRate, OpenBurst: l.OpenBurst, Held: l.Held,
		ByteRate: l.ByteRate,
	}
	switch level {
	case policy.Trusted:
		return trusted
	case policy.Verified:
		over := trusted
		over.Lanes, over.Held = 16*trusted.Lanes, 8*trusted.Held
		return l.Verified.over(over)
	case policy.Basic:
		return l.Basic.over(l.basic())
	}
	half := l.basic()
	for _, n := range half.fields() {
		*n = (*n + 1) / 2
	}
	return l.Untrusted.over(half)
}

// basic is the quota of the level basic; untrusted has half of it.
func (l *Limits) basic() Quota {
	return Quota{ByteRate: l.ByteRate, Lanes: 64, CallRate: 100, CallBurst: 200, OpenRate: 2000, NetOpenRate: 100, OpenBurst: 512, Held: 16 << 20}
}

func (q *Quota) fields() []*int {
	return []*int{&q.Lanes, &q.CallRate, &q.CallBurst, &q.OpenRate, &q.NetOpenRate, &q.OpenBurst, &q.Held, &q.ByteRate}
}

// over is q with what it leaves open taken from below.
func (q Quota) over(below Quota) Quota {
	theirs := below.fields()
	for i, mine := range q.fields() {
		if *mine == 0 {
			*mine = *theirs[i]
		}
	}
	return q
}

// opens is the rate at which a session may open lanes.
func (q *Quota) opens(transport string) mux.Rate {
	if transport == transportNet {
		return mux.Rate{PerSecond: q.NetOpenRate, Burst: min(q.OpenBurst, q.NetOpenRate)}
	}
	return mux.Rate{PerSecond: q.OpenRate, Burst: q.OpenBurst}
}

// keyBooks is what the sessions of one key share. It outlives them until its
// calls are paid for: a new login does not buy new calls.
type keyBooks struct {
	sessions int
	graded   bool // what follows is of its level
	level    policy.Level
	budget   *mux.Budget // bytes held for them; a part of books.held
	pace     *mux.Pace   // of bytes that they send
	calls    policy.Bucket
	rate     policy.Rate               // of connect, if the key has one of its own
	methods  map[string]*policy.Bucket // of methods with a rate
	secrets  secrets                   // of attempts at direct links by its sessions
	meter    *meter                    // nil until its first call
}

// gradeLocked gives a key the quota that rights say.
func (b *books) gradeLocked(k *keyBooks, r *rights) {
	level, rate := r.level(), r.grant.Rate()
	if k.graded && k.level == level && k.rate == rate {
		return
	}
	if k.rate != rate {
		delete(k.methods, control.MethodConnect)
	}
	k.rate = rate
	if k.graded && k.level == level {
		return
	}
	q := b.limits.quota(level)
	k.graded, k.level = true, level
	if k.budget == nil {
		k.budget, k.pace = b.held.Part(q.Held), new(mux.Pace)
	}
	k.pace.SetRate(q.ByteRate)
	k.budget.SetLimit(q.Held) // of sessions that run, too
	k.calls = policy.Bucket{PerSecond: float64(q.CallRate), Burst: float64(q.CallBurst)}
}

// fitLocked gives a yamux session the quota of its level. Lanes that are there stay.
func (s *session) fitLocked() {
	if s.mux != nil {
		q := s.srv.limits.quota(s.rights.Load().level())
		s.mux.SetLimits(q.Lanes, q.opens(s.transport))
	}
}

// method is the bucket of a method that has a rate; nil if it has none.
func (b *books) method(k *keyBooks, name string) *policy.Bucket {
	if bucket, ok := k.methods[name]; ok {
		return bucket
	}
	var rate policy.Rate
	if r := b.limits.Rates[name]; r.N > 0 && r.Per > 0 {
		rate = policy.Rate{N: r.N, Seconds: max(1, int(r.Per/time.Second))}
	}
	if name == control.MethodConnect && k.rate != (policy.Rate{}) {
		rate = k.rate
	}
	if rate == (policy.Rate{}) {
		return nil
	}
	bucket := rate.Bucket()
	if k.methods == nil {
		k.methods = make(map[string]*policy.Bucket)
	}
	k.methods[name] = &bucket
	return &bucket
}

// paid reports whether a key has all its calls.
func (k *keyBooks) paid(now time.Time) bool {
	full := func(b policy.Bucket) bool {
		ok, _ := b.Take(now, int(b.Burst))
		return ok
	}
	for _, b := range k.methods {
		if !full(*b) {
			return false
		}
	}
	return full(k.calls)
}

// spend takes one call of a method from what a key may make.
func (b *books) spend(key shs.PublicKey, method string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopping && method != control.MethodChannelMoved && method != control.MethodChannelClosed {
		return control.ShuttingDown // but a move that has begun may end
	}
	k := b.keys[key]
	b.meterLocked(key, k, method, now)
	if ok, retry := k.calls.Take(now, 1); !ok {
		b.over.count(overCallRate)
		return tooOften("too many calls", retry)
	}
	if bucket := b.method(k, method); bucket != nil {
		if ok, retry := bucket.Take(now, 1); !ok {
			b.over.count(overMethodRate)
			return tooOften("too many calls of "+method, retry)
		}
	}
	return nil
}

// tooOften says when to try again.
func tooOften(what string, retry time.Duration) error {
	return &control.Error{
		Code:    control.RateLimited,
		Message: what + "; try again in " + retry.Round(time.Millisecond).String(),
		RetryMS: max(1, int64((retry+time.Millisecond-1)/time.Millisecond)),
	}
}

// CheckMethod reports whether Limits.Rates may name a method.
func CheckMethod(name string) error {
	if _, ok := methods[name]; ok || name == control.MethodConnect || name == control.MethodAccept {
		return nil
	}
	return fmt.Errorf("there is no method %.64q", name)
}
