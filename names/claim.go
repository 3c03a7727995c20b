package names

import (
	"bytes"
	"slices"
	"time"
)

// Claim asks for n on behalf of a session. It is decided in this order, by the
// first line that holds (PROTOCOL.md §5):
//
//	n is reserved                                → ErrReserved
//	nobody owns n, and it is held for another key
//	  (not opt.From, nor below)                   → ErrTaken
//	nobody owns n                                → owner; a full key: ErrQuota
//	the session owns n                           → owner, same epoch; flags replaced, info too if given
//	opt.Replace, and the owner yields or has the
//	  same key                                   → owner; the old one goes to the head of the line if it
//	                                               claimed with Queue, else it is out. Too many replaces:
//	                                               ErrRate; a full key, or a line with no room for the old
//	                                               owner: ErrQuota
//	opt.Queue, and the session waits             → waiting, in its old place; flags and info replaced
//	opt.Queue                                    → waiting, at the tail; a full line or key: ErrQuota
//	else                                         → ErrTaken; who waited leaves the line
//
// Whether the text of n is a name is the caller's to check, with ParseName. There
// is at most one Change. Replace is an act, not remembered for a waiter. The info
// of a waiter is published when it owns. ErrRate is the fourth replace that would
// have taken effect of one name by one key within 30 s.
func (r *Registry) Claim(now time.Time, o Owner, n Name, opt Options) (Result, []Change, error) {
	r.acts.expire(now)
	r.holds.expire(now)
	if Reserved(n) {
		return Result{}, nil, ErrReserved
	}
	mine := claim{Owner: o, queue: opt.Queue, yield: opt.Yield, info: bytes.Clone(opt.Info)}
	rec := r.names[n]
	switch {
	case rec == nil:
		return r.claimFree(now, n, mine, opt.From)
	case rec.owner.Session == o.Session:
		return r.reclaim(now, rec, mine)
	case opt.Replace && (rec.owner.yield || rec.owner.Key == o.Key || opt.inherits(rec.owner.Key)):
		return r.replace(now, rec, mine)
	case opt.Queue:
		return r.wait(rec, mine)
	default:
		r.leave(rec, o.Session)
		return Result{}, nil, ErrTaken
	}
}

// inherits reports whether the claimant's key has taken the place of another.
func (o *Options) inherits(key [32]byte) bool { return o.From != [32]byte{} && o.From == key }

// claimFree gives a name that nobody owns.
func (r *Registry) claimFree(now time.Time, n Name, mine claim, from [32]byte) (Result, []Change, error) {
	if r.holds.refuses(n, mine.Key) && r.holds.refuses(n, from) {
		return Result{}, nil, ErrTaken
	}
	if r.keys.total(mine.Key) >= r.limits.NamesPerKey {
		return Result{}, nil, ErrQuota
	}
	r.holds.end(n)
	rec := &record{}
	r.names[n] = rec
	change := r.begin(now, n, rec, mine, Connected, nil)
	return rec.result(), []Change{change}, nil
}

// reclaim is a claim by the owner: its flags change, its epoch does not.
func (r *Registry) reclaim(now time.Time, rec *record, mine claim) (Result, []Change, error) {
	rec.owner.queue, rec.owner.yield = mine.queue, mine.yield
	var changes []Change
	if mine.info != nil {
		changes = r.publish(now, rec, mine.info)
	}
	return rec.result(), changes, nil
}

// replace takes the name from its owner. All checks come before the first effect.
func (r *Registry) replace(now time.Time, rec *record, mine claim) (Result, []Change, error) {
	n, old := rec.entry.Name, rec.owner
	actor := actor{mine.Key, n}
	if !r.acts.allowed(actor) {
		return Result{}, nil, ErrRate
	}
	held, line := r.keys.total(mine.Key), len(rec.line)
	if rec.place(mine.Session) >= 0 {
		line-- // its wait becomes its ownership
	} else {
		held++
	}
	if old.queue {
		line++
	} else if old.Key == mine.Key {
		held--
	}
	// A full key may still pass a name from one session of its own to another that
	// does not queue: a restart, by which nothing grows.
	if held > r.limits.NamesPerKey || line > r.limits.WaitersPerName {
		return Result{}, nil, ErrQuota
	}
	r.acts.note(now, actor)
	was := rec.was()
	r.drop(rec, mine.Session)
	r.disown(n, old)
	if old.queue {
		rec.line = slices.Insert(rec.line, 0, old)
		r.keep(n, old)
	}
	change := r.begin(now, n, rec, mine, Moved, was)
	return rec.result(), []Change{change}, nil
}

// wait puts the claimant at the tail, or renews the place it has.
func (r *Registry) wait(rec *record, mine claim) (Result, []Change, error) {
	waiting := Result{State: stateWaiting, Rev: rec.rev}
	if i := rec.place(mine.Session); i >= 0 {
		rec.line[i] = mine
		return waiting, nil, nil
	}
	if len(rec.line) >= r.limits.WaitersPerName || r.keys.total(mine.Key) >= r.limits.NamesPerKey {
		return Result{}, nil, ErrQuota
	}
	rec.line = append(rec.line, mine)
	r.keep(rec.entry.Name, mine)
	r.recount(rec)
	return waiting, nil, nil
}

// Release gives n up: the owner hands on to the head of the line, a waiter leaves
// the line, and anybody else gets ErrNotOwner, whether the name exists or not. The
// rev is that of the change, for a waiter that of the name's last one.
func (r *Registry) Release(now time.Time, session uint64, n Name) (uint64, []Change, error) {
	rec := r.names[n]
	if rec == nil {
		return 0, nil, ErrNotOwner
	}
	if rec.owner.Session == session {
		change := r.end(now, rec)
		return change.Rev, []Change{change}, nil
	}
	if !r.leave(rec, session) {
		return 0, nil, ErrNotOwner
	}
	return rec.rev, nil, nil
}

// Update publishes other info for a name that the session owns; ErrNotOwner if it
// does not own it, even if it waits. Info equal to the byte is no change, and the
// rev is that of the name's last one. Info is copied; nil takes it away.
func (r *Registry) Update(now time.Time, session uint64, n Name, info []byte) (uint64, []Change, error) {
	rec := r.names[n]
	if rec == nil || rec.owner.Session != session {
		return 0, nil, ErrNotOwner
	}
	changes := r.publish(now, rec, bytes.Clone(info))
	return rec.rev, changes, nil
}

// Drop is the end of a session: it leaves every line, then its names go in name
// order. The next waiter owns a name in the same event (Moved).
func (r *Registry) Drop(now time.Time, session uint64) []Change {
	r.acts.expire(now)
	r.holds.expire(now)
	for _, n := range r.sessions.waiting(session) {
		r.leave(r.names[n], session)
	}
	var changes []Change
	for _, n := range r.sessions.owned(session) {
		rec := r.names[n]
		if r.limits.Hold > 0 && len(rec.line) == 0 {
			r.holds.begin(n, rec.owner.Key, now.Add(r.limits.Hold), r.limits.NamesPerKey)
		}
		changes = append(changes, r.end(now, rec))
	}
	return changes
}
