package names

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// pair is a registry, the model beside it, and a watcher that began with an empty
// snapshot and hears every change.
type pair struct {
	t       failer
	r       *Registry
	m       *model
	now     time.Time
	latest  time.Time // the latest now of a claim or drop: what the rate of replaces goes by
	watcher map[Name]*Entry
	last    uint64 // rev of the last change or snapshot
	states  map[uint64]map[Name]*Entry
	revs    []uint64 // the keys of states, in order
	changes []Change // all there ever were
}

// failer is what *testing.T and *rapid.T share.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newPair(t failer, l Limits) *pair {
	now := time.UnixMicro(1e15)
	r := New(l, now)
	return &pair{t: t, r: r, m: &model{limits: r.limits, names: make(map[Name][]claim)}, now: now,
		watcher: make(map[Name]*Entry), states: make(map[uint64]map[Name]*Entry)}
}

func (p *pair) claim(o Owner, n Name, opt Options) string {
	p.t.Helper()
	before := p.r.names[n]
	epoch, rev := uint64(0), uint64(0)
	if before != nil {
		epoch, rev = before.entry.Epoch, before.rev
	}
	result, changes, err := p.r.Claim(p.now, o, n, opt)
	got := result.State
	if err != nil {
		got = outcome(err)
	}
	want, events := p.m.claim(p.clock(), n, claim{o, opt.Queue, opt.Yield, opt.Info}, opt.Replace)
	p.same(got, want, changes, events)
	if len(changes) > 0 {
		rev = changes[0].Rev
		if changes[0].Kind != Updated {
			epoch = rev
		}
	}
	switch got {
	case "owner":
		if result.Epoch != epoch || result.Rev != rev {
			p.t.Fatalf("answer to the owner: got %+v, want epoch %d, rev %d", result, epoch, rev)
		}
	case "waiting":
		if result.Epoch != 0 || result.Rev != rev {
			p.t.Fatalf("answer to the waiter: got %+v, want epoch 0, rev %d", result, rev)
		}
	default:
		if result != (Result{}) {
			p.t.Fatalf("answer with %s: got %+v, want none", got, result)
		}
	}
	return got
}

func (p *pair) release(session uint64, n Name) {
	p.t.Helper()
	rev, changes, err := p.r.Release(p.now, session, n)
	want, events := p.m.release(n, session)
	p.answered(rev, n, changes, err, want, events)
}

func (p *pair) update(session uint64, n Name, info []byte) {
	p.t.Helper()
	rev, changes, err := p.r.Update(p.now, session, n, info)
	want, events := p.m.update(n, session, info)
	p.answered(rev, n, changes, err, want, events)
}

func (p *pair) drop(session uint64) {
	p.t.Helper()
	p.clock()
	p.same("", "", p.r.Drop(p.now, session), p.m.drop(session))
}

func (p *pair) clock() time.Time {
	if p.now.After(p.latest) {
		p.latest = p.now
	}
	return p.latest
}

// answered checks what release and update answer: the rev of the change, else that
// of the name's last one.
func (p *pair) answered(rev uint64, n Name, changes []Change, err error, want string, events []event) {
	p.t.Helper()
	wantRev := uint64(0)
	switch {
	case len(changes) > 0:
		wantRev = changes[0].Rev
	case err == nil:
		wantRev = p.r.names[n].rev
	}
	if rev != wantRev {
		p.t.Fatalf("answer: got rev %d, want %d", rev, wantRev)
	}
	got := "ok"
	if err != nil {
		got = outcome(err)
	}
	p.same(got, want, changes, events)
}

// same compares the two worlds after one step, and lets the watcher follow.
func (p *pair) same(got, want string, changes []Change, events []event) {
	p.t.Helper()
	if got != want {
		p.t.Fatalf("answer: got %s, want %s", got, want)
	}
	var heard []event
	for _, c := range changes {
		if floor := uint64(p.now.UnixMicro()); c.Rev <= p.last || c.Rev < floor {
			p.t.Fatalf("rev %d, want above %d and not below the clock's %d", c.Rev, p.last, floor)
		}
		p.last = c.Rev
		heard = append(heard, p.hear(c))
	}
	p.changes = append(p.changes, changes...)
	if !slices.Equal(heard, events) {
		p.t.Fatalf("events: got %v, want %v", heard, events)
	}
	p.sameState()
}

// hear checks one change against what the watcher knows, and applies it.
func (p *pair) hear(c Change) event {
	p.t.Helper()
	old := p.watcher[c.Name]
	e := event{kind: c.Kind, name: c.Name}
	if c.Was != nil {
		if old == nil || *c.Was != (Was{Key: old.Key, Session: old.Session, Epoch: old.Epoch}) {
			p.t.Fatalf("%s %s was %+v, want the owner before: %+v", c.Kind, c.Name, c.Was, old)
		}
		e.was = c.Was.Session
	}
	if c.Entry == nil {
		delete(p.watcher, c.Name)
	} else {
		e.now, e.info = c.Entry.Session, string(c.Entry.Info)
		if begins := c.Kind != Updated; c.Entry.Name != c.Name || begins != (c.Entry.Epoch == c.Rev) {
			p.t.Fatalf("entry of %+v: %+v, want the name, and the rev as epoch if an ownership begins", c, c.Entry)
		}
		if c.Kind == Updated && (old == nil || old.Epoch != c.Entry.Epoch || !old.Since.Equal(c.Entry.Since)) {
			p.t.Fatalf("updated: got %+v, want the ownership of %+v", c.Entry, old)
		}
		p.watcher[c.Name] = c.Entry
	}
	p.states[c.Rev] = maps.Clone(p.watcher)
	p.revs = append(p.revs, c.Rev)
	return e
}

func (p *pair) sameState() {
	p.t.Helper()
	want := p.m.names
	if len(p.r.names) != len(want) || len(p.watcher) != len(want) {
		p.t.Fatalf("names: registry has %d, watcher %d, want %d", len(p.r.names), len(p.watcher), len(want))
	}
	sessions, keys := make(books[uint64]), make(books[[32]byte])
	for n, line := range want {
		rec := p.r.names[n]
		if got := append([]claim{rec.owner}, rec.line...); !slices.EqualFunc(got, line, sameClaim) {
			p.t.Fatalf("%s: got %+v, want %+v", n, got, line)
		}
		entry, ok := p.r.Get(n)
		if !ok || !sameEntry(entry, p.watcher[n]) || entry.Owner != line[0].Owner || entry.Waiters != len(line)-1 {
			p.t.Fatalf("%s: got %+v, want what the watcher has: %+v", n, entry, p.watcher[n])
		}
		sessions.own(line[0].Session, n)
		keys.own(line[0].Key, n)
		for _, c := range line[1:] {
			sessions.wait(c.Session, n)
			keys.wait(c.Key, n)
		}
	}
	p.sameBooks(sessions, keys)
}

func (p *pair) sameBooks(sessions books[uint64], keys books[[32]byte]) {
	p.t.Helper()
	if len(p.r.sessions) != len(sessions) || len(p.r.keys) != len(keys) {
		p.t.Fatalf("books of %d sessions, %d keys, want %d, %d", len(p.r.sessions), len(p.r.keys), len(sessions), len(keys))
	}
	for s := range sessions {
		if !slices.Equal(p.r.NamesOf(s), sessions.owned(s)) || !slices.Equal(p.r.sessions.waiting(s), sessions.waiting(s)) ||
			p.r.sessions.total(s) != sessions.total(s) {
			p.t.Fatalf("session %d: got %+v, want %+v", s, p.r.sessions[s], sessions[s])
		}
	}
	for k := range keys {
		if !slices.Equal(p.r.NamesOfKey(k), keys.owned(k)) || p.r.keys.total(k) != keys.total(k) {
			p.t.Fatalf("key %x: got %+v, want %+v", k[:1], p.r.keys[k], keys[k])
		}
	}
}

// snapshot draws one and compares it with the watcher.
func (p *pair) snapshot() {
	p.t.Helper()
	rev, entries := p.r.Snapshot(p.now)
	if rev <= p.last {
		p.t.Fatalf("snapshot at rev %d, want above %d", rev, p.last)
	}
	p.last = rev
	p.states[rev] = maps.Clone(p.watcher)
	p.revs = append(p.revs, rev)
	if !slices.IsSortedFunc(entries, func(a, b *Entry) int { return compareNames(a.Name, b.Name) }) || len(entries) != len(p.watcher) {
		p.t.Fatalf("snapshot of %d entries, want %d, sorted", len(entries), len(p.watcher))
	}
	for _, e := range entries {
		if now, _ := p.r.Get(e.Name); now != e || !sameEntry(e, p.watcher[e.Name]) {
			p.t.Fatalf("snapshot has %+v, want %+v", e, now)
		}
	}
}

// since asks for the changes after a rev that was drawn once, and applies them to
// what the watcher knew then.
func (p *pair) since(rev uint64) (told bool) {
	p.t.Helper()
	changes, ok := p.r.Since(rev)
	first := slices.IndexFunc(p.changes, func(c Change) bool { return c.Rev > rev })
	missed := 0
	if first >= 0 {
		missed = len(p.changes) - first
	}
	if !ok {
		if size := p.r.limits.Log; missed <= size && len(p.revs) <= size {
			p.t.Fatalf("since %d: the log of %d does not reach back over %d changes", rev, size, missed)
		}
		return false
	}
	if len(changes) != missed {
		p.t.Fatalf("since %d: got %d changes, want %d", rev, len(changes), missed)
	}
	state := maps.Clone(p.states[rev])
	for _, c := range changes {
		if delete(state, c.Name); c.Entry != nil {
			state[c.Name] = c.Entry
		}
		if !maps.EqualFunc(state, p.states[c.Rev], sameEntry) {
			p.t.Fatalf("since %d, at %d: got %v, want %v", rev, c.Rev, state, p.states[c.Rev])
		}
	}
	if !maps.EqualFunc(state, p.watcher, sameEntry) {
		p.t.Fatalf("since %d: got %v, want %v", rev, state, p.watcher)
	}
	return true
}

// sameEntry compares all but the number of waiters, which moves without a change.
func sameEntry(a, b *Entry) bool {
	return a != nil && b != nil && a.Name == b.Name && a.Owner == b.Owner && a.Since.Equal(b.Since) &&
		a.Epoch == b.Epoch && string(a.Info) == string(b.Info)
}

func sameClaim(a, b claim) bool {
	return a.Owner == b.Owner && a.queue == b.queue && a.yield == b.yield && string(a.info) == string(b.info)
}

// TestOwnershipProtocol plays every state before of PROTOCOL.md §5 against every
// set of flags, and asks the model.
func TestOwnershipProtocol(t *testing.T) {
	seen := make(map[string]int)
	for _, owner := range []byte{0, 'a', 'B', 'b'} { // nobody, another key, the same key, the claimant b itself
		for _, theirs := range flagSets() {
			for _, place := range []int{-1, 0, 1} { // where b waits before c and after
				for _, ours := range flagSets() {
					for _, info := range [][]byte{nil, []byte(`{}`), []byte(`{"a":1}`)} {
						p := newPair(t, Limits{})
						if owner != 0 {
							p.claim(ownerOf(owner), subject, options(theirs, []byte(`{}`)))
							for i := range 3 {
								if i == place && owner != 'b' {
									p.claim(ownerOf('b'), subject, options("qy", []byte(`{"old":1}`)))
								}
								p.claim(ownerOf('c'+byte(i)), subject, options("q", nil))
							}
						}
						seen[p.claim(ownerOf('b'), subject, options(ours, info))]++
						p.release(uint64('b'), subject)
						p.drop(uint64('c'))
						p.snapshot()
					}
				}
			}
		}
	}
	// Owners 'a' that yield (4 of 8 sets) and 'B' give way to the 4 sets with r; nobody and b itself always.
	want := map[string]int{"owner": (8*8*2 + 4*4 + 8*4) * 9}
	want["waiting"] = (4*4 + 4*2 + 8*2) * 9 // the sets with q: all four if the owner does not yield, else the two without r
	want["taken"] = want["waiting"]
	if !maps.Equal(seen, want) {
		t.Errorf("answers: got %v, want %v", seen, want)
	}
}

func options(flags string, info []byte) Options {
	o := Options{Info: info}
	for _, f := range flags {
		switch f {
		case 'q':
			o.Queue = true
		case 'r':
			o.Replace = true
		case 'y':
			o.Yield = true
		}
	}
	return o
}

// TestRegistryRandom plays random histories on the registry, the model and a
// watcher. The limits are small so that each is met.
func TestRegistryRandom(t *testing.T) {
	pool := []Name{"a", "a.b", "a.b.c", "b", "org.example.x", "org.example.y", "switchboard.x"}
	infos := [][]byte{nil, nil, {}, []byte(`{}`), []byte(`{"v":1}`)}
	var told, lagged int
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t, Limits{NamesPerKey: 4, WaitersPerName: 2, Log: 12})
		letters := rapid.SampledFrom([]byte("aAbBcd"))
		name := rapid.SampledFrom(pool)
		steps := rapid.IntRange(1, 120).Draw(t, "steps")
		for range steps {
			o, n := ownerOf(letters.Draw(t, "session")), name.Draw(t, "name")
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0:
				p.release(o.Session, n)
			case 1:
				p.update(o.Session, n, rapid.SampledFrom(infos).Draw(t, "info"))
			case 2:
				p.drop(o.Session)
			case 3:
				p.snapshot()
			case 4:
				// Also backwards: the clock of a host may be set.
				p.now = p.now.Add(time.Duration(rapid.IntRange(-2, 40).Draw(t, "seconds")) * time.Second)
			case 5:
				if len(p.revs) > 0 {
					if p.since(rapid.SampledFrom(p.revs).Draw(t, "rev")) {
						told++
					} else {
						lagged++
					}
				}
			default:
				p.claim(o, n, options(rapid.SampledFrom(flagSets()).Draw(t, "flags"), rapid.SampledFrom(infos).Draw(t, "info")))
			}
		}
		for _, letter := range []byte("aAbBcd") {
			p.drop(uint64(letter))
		}
		p.snapshot()
		empty(t, p.r, p.now)
	})
	if told == 0 || lagged == 0 {
		t.Errorf("since was answered %d times, refused %d times, want both to happen", told, lagged)
	}
}

// empty fails if a registry in which nobody holds anything still keeps books.
func empty(t failer, r *Registry, now time.Time) {
	t.Helper()
	r.Drop(now.Add(time.Hour), 0) // an hour on, no replace is recent
	books := fmt.Sprint(len(r.names), len(r.sessions), len(r.keys), len(r.acts.acts), len(r.acts.counts), len(r.index.sorted), len(r.index.dirty))
	if books != "0 0 0 0 0 0 0" {
		t.Fatalf("books of an empty registry: %s", books)
	}
}
