package names

import (
	"errors"
	"time"
)

// What a claim, release or update can end in, besides success. After any of them
// the registry is as it was, with one exception: ErrTaken takes a claimant that
// waited out of the line.
var (
	ErrTaken    = errors.New("names: already owned")
	ErrReserved = errors.New("names: reserved for the server")
	ErrNotOwner = errors.New("names: neither owned nor waited for")
	ErrQuota    = errors.New("names: too many names or waiters")
	ErrRate     = errors.New("names: replaced too often")
)

// Limits of one registry; a field that is not positive takes its default.
type Limits struct {
	NamesPerKey    int // names owned plus waits, over all sessions of a key; default 16
	WaitersPerName int // default 64
	Log            int // changes kept for Since, and as many revs of snapshots; default 4096

	// Hold is how long a name that nobody waits for stays with the key whose
	// session has ended, to another's claim ErrTaken; none if it is 0. What is
	// released is not held.
	Hold time.Duration
}

// Owner is a session with the key it has proven and the transport it came over
// ("unix", "net", "local"; the registry only carries it). A session has one key.
type Owner struct {
	Session   uint64
	Key       [32]byte
	Transport string
}

// Options of a claim.
type Options struct {
	Queue   bool // wait if the name is owned; as the owner: wait when replaced
	Replace bool // take the name from an owner that yields or has the same key; now, or not at all
	Yield   bool // as the owner: let anybody take the name with Replace
	// From is a key of which the claimant's has taken the place: what may be done as
	// another session of the same key may be done as one of that. Zero: none.
	From [32]byte
	Info []byte // published with the name, ≤ 4 KiB JSON (the caller checks); nil: not given. It is copied
}

// Entry is one owned name as it is published. An Entry is never changed once it
// was returned: the registry makes a new one.
type Entry struct {
	Name  Name
	Owner           // who owns it
	Since time.Time // when this ownership began
	Epoch uint64    // rev of the change that began this ownership: never comes twice
	Info  []byte    // nil if none was given; read only
	// Waiters is how many sessions waited when this Entry was made. It moves
	// without a Change, so an Entry out of a Change may be behind; Get and
	// Snapshot are not.
	Waiters int
}

// Was names the ownership that a change ended.
type Was struct {
	Key     [32]byte
	Session uint64
	Epoch   uint64
}

// Kind of a change.
type Kind string

// The kinds of change, with the fields of the Change that they fill.
const (
	Connected    Kind = "connected"    // Entry: the name was free and is owned
	Disconnected Kind = "disconnected" // Was: the name is free
	Moved        Kind = "moved"        // Entry and Was: another session owns it, at once
	Updated      Kind = "updated"      // Entry: same ownership, other info
)

// Change is one event of one name.
type Change struct {
	Rev   uint64
	Kind  Kind
	Name  Name
	Entry *Entry // nil in Disconnected
	Was   *Was   // in Disconnected and Moved
}

// Result is the answer to a claim that did not fail.
type Result struct {
	State string // "owner" or "waiting"
	Epoch uint64 // 0 for a waiter
	Rev   uint64 // of the change this claim made, else of the name's last one
}

// States of a Result.
const (
	stateOwner   = "owner"
	stateWaiting = "waiting"
)

// Registry holds the names. Make one with New. Not safe for concurrent use.
type Registry struct {
	limits   Limits
	names    map[Name]*record
	sessions books[uint64]
	keys     books[[32]byte]
	acts     replaces
	holds    holds
	log      history
	index    index
	rev      uint64 // the last one drawn
}

// record is one owned name.
type record struct {
	entry *Entry  // as published; replaced, never changed
	owner claim   // what its owner claimed
	line  []claim // who waits, head first; a session at most once
	rev   uint64  // of the last change of this name
}

// claim is what a session said when it claimed, whether it owns or waits.
type claim struct {
	Owner
	queue, yield bool
	info         []byte
}

// New returns an empty registry whose revs begin after now.
func New(l Limits, now time.Time) *Registry {
	if l.NamesPerKey <= 0 {
		l.NamesPerKey = 16
	}
	if l.WaitersPerName <= 0 {
		l.WaitersPerName = 64
	}
	if l.Log <= 0 {
		l.Log = 4096
	}
	r := &Registry{
		limits:   l,
		names:    make(map[Name]*record),
		sessions: make(books[uint64]),
		keys:     make(books[[32]byte]),
		log:      newHistory(l.Log),
	}
	r.draw(now)
	return r
}

// Get returns the entry of n, if somebody owns it.
func (r *Registry) Get(n Name) (*Entry, bool) {
	rec, ok := r.names[n]
	if !ok {
		return nil, false
	}
	return rec.entry, true
}

// NamesOf returns the names that a session owns, sorted; the slice is the caller's.
func (r *Registry) NamesOf(session uint64) []Name { return r.sessions.owned(session) }

// WaitsOf returns the names that a session waits for, sorted; the slice is the
// caller's.
func (r *Registry) WaitsOf(session uint64) []Name { return r.sessions.waiting(session) }

// NamesOfKey returns the names that all sessions of a key own, sorted; the slice
// is the caller's.
func (r *Registry) NamesOfKey(key [32]byte) []Name { return r.keys.owned(key) }

// draw takes the next rev. A clock before 1970 counts as 1970.
func (r *Registry) draw(now time.Time) uint64 {
	r.rev = max(r.rev+1, uint64(max(now.UnixMicro(), 0)))
	return r.rev
}
