package switchboard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// outcome is one thing that an admission counts. Those that refuse a connection
// are its error, too.
type outcome uint8

const (
	taken           outcome = iota // connections
	loggedIn                       // sessions
	gone                           // connections that ended by themselves, or with the server
	evicted                        // that made room for another
	shed                           // that made room for a descriptor
	delayed                        // that had to wait for their handshake to begin
	seatedAside                    // that got a place for administrators
	refusedUser                    // Unix sockets: of another user
	refusedPenalty                 // their source is barred
	refusedRate                    // they come too fast
	refusedHalfOpen                // too many of the source are in handshake
	refusedTable                   // the table of sources is full of others that are connected
	refusedSessions                // logins over a quota
	failedHello                    // logins: no network of ours
	failedTimeout                  // not done in time
	failedAuth                     // no proof, or a key that may not log in
	panicked                       // sessions and logins
	scarce                         // accept had no descriptor
	closedScarce                   // connections taken with a reserved descriptor, and closed
	outcomes
)

// Error is the word for an outcome in logs and statistics.
func (e outcome) Error() string {
	return [outcomes]string{
		"taken", "logged_in", "gone", "evicted", "shed", "delayed", "seated_aside",
		"refused_user", "refused_penalty", "refused_rate", "refused_half_open", "refused_table", "refused_sessions",
		"failed_hello", "failed_timeout", "failed_auth", "panics", "scarce", "closed_scarce",
	}[e]
}

// turnsAway reports whether an outcome is worth a line that sums up.
func (e outcome) turnsAway() bool {
	switch e {
	case taken, loggedIn, gone:
		return false
	}
	return true
}

// tally counts outcomes. Safe for concurrent use.
type tally struct {
	n        *[outcomes]atomic.Int64
	together *atomic.Int64 // the most handshakes whose arithmetic was done at once
	news     chan struct{} // one token: something was turned away
}

func newTally() tally {
	return tally{new([outcomes]atomic.Int64), new(atomic.Int64), make(chan struct{}, 1)}
}

func (t *tally) count(e outcome) {
	t.n[e].Add(1)
	if e.turnsAway() {
		select {
		case t.news <- struct{}{}:
		default:
		}
	}
}

func (t *tally) most(n int) {
	for {
		was := t.together.Load()
		if int64(n) <= was || t.together.CompareAndSwap(was, int64(n)) {
			return
		}
	}
}

func (t *tally) counts() map[string]int64 {
	all := make(map[string]int64, outcomes)
	for e := range outcomes {
		all[e.Error()] = t.n[e].Load()
	}
	return all
}

// report sums up in one line, a second after something was turned away, and not
// more often, until ctx ends.
func (a *admission) report(ctx context.Context) {
	for over := false; !over; {
		select {
		case <-a.tally.news:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			over = true
		}
		a.log.Warn("connections turned away so far", a.snapshot().attrs()...)
	}
}

// Lines about single connections: as many as of an honest mistake, not as many as
// of a flood.
const (
	maxLines  = 1000 // at once
	lineEvery = 50 * time.Millisecond
)

// lineRate bounds log lines. Safe for concurrent use.
type lineRate struct {
	mu     sync.Mutex
	due    time.Duration // of the next line, if they came every lineEvery
	unsaid int
}

// take reports whether a line may be written now, and how many were not before.
func (r *lineRate) take(now time.Duration) (unsaid int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := max(r.due, now)
	if due-now > (maxLines-1)*lineEvery {
		r.unsaid++
		return 0, false
	}
	r.due = due + lineEvery
	unsaid, r.unsaid = r.unsaid, 0
	return unsaid, true
}

// say writes a line, unless there are too many.
func (a *admission) say(rate *lineRate, text string, attrs ...any) {
	if unsaid, ok := rate.take(a.now()); ok {
		a.sayNow(unsaid, text, attrs...)
	}
}

// sayNow writes a line whose rate has allowed it.
func (a *admission) sayNow(unsaid int, text string, attrs ...any) {
	if unsaid > 0 {
		attrs = append(attrs, "suppressed", unsaid)
	}
	a.log.Warn(text, attrs...)
}
