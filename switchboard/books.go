package switchboard

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/names"
	"github.com/cad2f06c/switchboard/shs"
)

// books is all that the server remembers: who is here, who owns what, who
// watches, which channels wait for their callee. One lock guards it; nobody
// holds it over I/O.
type books struct {
	limits Limits
	over   excess
	held   *mux.Budget // bytes held for all keys

	mu       sync.Mutex
	sessions map[uint64]*session
	keys     map[shs.PublicKey]*keyBooks
	registry *names.Registry
	owned    map[string]int // names in the registry, by tenant
	watches  map[*watch]struct{}
	matchers matchers                     // of watches
	offers   map[channel.ID]*pendingOffer // waiting for accept on a new connection
	links    map[channel.ID]*link         // bound: relayed, or parked by a move that may come back
	moved    movedBooks
	unnamed  unnamed // descriptors sent to peers; has a lock of its own, which nobody holds who takes another
	last     uint64  // session id, never used twice
	total    int     // admitted logins
	stopping bool

	alarm func(key shs.PublicKey, word string, n int) // hears of keys that call very often; nil: nobody

	roll roll // the registry's names as a list shows them; has a lock of its own

	rules  atomic.Pointer[rules] // changed with mu held, and with it the rights of all sessions
	newRev uint64                // of the last change of rules: rights may differ before
}

func (b *books) init(l Limits, now time.Time) {
	b.limits = l
	b.held = mux.NewBudget(l.HeldTotal)
	b.sessions = make(map[uint64]*session)
	b.keys = make(map[shs.PublicKey]*keyBooks)
	b.registry = names.New(names.Limits{NamesPerKey: l.NamesPerKey, WaitersPerName: l.WaitersPerName, Hold: l.NameHold}, now)
	b.owned = make(map[string]int)
	b.watches = make(map[*watch]struct{})
	b.offers = make(map[channel.ID]*pendingOffer)
	b.links = make(map[channel.ID]*link)
	b.moved = newMovedBooks(l.Moved, l.DirectLease)
}

// enter takes a session slot for key; leave gives it back.
func (b *books) enter(key shs.PublicKey) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.keys[key]
	switch {
	case b.stopping:
		return errStopping
	case b.total >= b.limits.Sessions:
		return errSessions
	case k == nil:
		b.sweepLocked(time.Now())
		k = &keyBooks{}
		b.keys[key] = k
	case k.sessions >= b.limits.SessionsPerKey:
		return errKeySessions
	}
	k.sessions++
	b.total++
	return nil
}

// budget returns that of a key which has a session.
func (b *books) budget(key shs.PublicKey) *mux.Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys[key].budget
}

// pace returns that of a key; one without a bound if its last session has ended.
func (b *books) pace(key shs.PublicKey) *mux.Pace {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.keys[key]; k != nil && k.pace != nil {
		return k.pace
	}
	return new(mux.Pace)
}

func (b *books) leave(key shs.PublicKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total--
	b.keys[key].sessions--
	b.sweepLocked(time.Now())
}

// sweepLocked forgets keys that have no session and no debt, when there are
// many of them.
func (b *books) sweepLocked(now time.Time) {
	if len(b.keys) <= 2*b.total+maxDebtors {
		return
	}
	for key, k := range b.keys {
		if k.sessions == 0 && k.paid(now) {
			delete(b.keys, key)
		}
	}
}

// maxDebtors is how many keys without a session are kept before they are
// looked through.
const maxDebtors = 64

// dropLocked takes a session out of the registry and out of the books.
func (b *books) dropLocked(id uint64) {
	b.publishLocked(b.registry.Drop(time.Now(), id), 0)
	delete(b.sessions, id)
}

// dropSecrets forgets the attempts at a direct link of a channel.
func (b *books) dropSecrets(key shs.PublicKey, id channel.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropSecretsLocked(key, id)
}

func (b *books) dropSecretsLocked(key shs.PublicKey, id channel.ID) {
	if k := b.keys[key]; k != nil && len(k.secrets) > 0 {
		k.secrets.drop(id)
	}
}
