package names

import (
	"bytes"
	"slices"
	"time"
)

// This file holds the steps that claims, releases and drops are made of. Each
// keeps the record, the books of session and key, the log and the index together.

// begin makes c the owner of n: one change, one epoch.
func (r *Registry) begin(now time.Time, n Name, rec *record, c claim, kind Kind, was *Was) Change {
	rev := r.draw(now)
	rec.owner = c
	rec.entry = &Entry{Name: n, Owner: c.Owner, Since: now, Epoch: rev, Info: c.info, Waiters: len(rec.line)}
	r.sessions.own(c.Session, n)
	r.keys.own(c.Key, n)
	return r.record(rec, Change{Rev: rev, Kind: kind, Name: n, Entry: rec.entry, Was: was})
}

// end takes the name from its owner and gives it to the head of the line; without
// a line the name is gone.
func (r *Registry) end(now time.Time, rec *record) Change {
	n, was := rec.entry.Name, rec.was()
	r.disown(n, rec.owner)
	if len(rec.line) > 0 {
		next := rec.line[0]
		r.drop(rec, next.Session)
		return r.begin(now, n, rec, next, Moved, was)
	}
	delete(r.names, n)
	return r.record(rec, Change{Rev: r.draw(now), Kind: Disconnected, Name: n, Was: was})
}

// publish replaces the info of an owned name, if it differs.
func (r *Registry) publish(now time.Time, rec *record, info []byte) []Change {
	if bytes.Equal(rec.owner.info, info) {
		return nil
	}
	rec.owner.info = info
	entry := *rec.entry
	entry.Info = info
	rec.entry = &entry
	return []Change{r.record(rec, Change{Rev: r.draw(now), Kind: Updated, Name: entry.Name, Entry: rec.entry})}
}

// record notes a change where it must be known: at the name, in the log, and in
// the index.
func (r *Registry) record(rec *record, c Change) Change {
	rec.rev = c.Rev
	r.log.add(c)
	r.index.touch(c.Name, len(r.names))
	return c
}

// leave takes a session out of the line and publishes the new length; false if it
// did not wait.
func (r *Registry) leave(rec *record, session uint64) bool {
	if !r.drop(rec, session) {
		return false
	}
	r.recount(rec)
	return true
}

// drop takes a session out of the line, for callers that make a new Entry anyway.
func (r *Registry) drop(rec *record, session uint64) bool {
	i := rec.place(session)
	if i < 0 {
		return false
	}
	c := rec.line[i]
	if rec.line = slices.Delete(rec.line, i, i+1); len(rec.line) == 0 {
		rec.line = nil
	}
	r.sessions.unwait(c.Session, rec.entry.Name)
	r.keys.unwait(c.Key, rec.entry.Name)
	return true
}

// recount makes a new Entry with the present length of the line. That is no event:
// waiters are not announced (PROTOCOL.md §5).
func (r *Registry) recount(rec *record) {
	entry := *rec.entry
	entry.Waiters = len(rec.line)
	rec.entry = &entry
	r.index.touch(entry.Name, len(r.names))
}

// keep books a wait.
func (r *Registry) keep(n Name, c claim) {
	r.sessions.wait(c.Session, n)
	r.keys.wait(c.Key, n)
}

// disown books the end of an ownership.
func (r *Registry) disown(n Name, c claim) {
	r.sessions.disown(c.Session, n)
	r.keys.disown(c.Key, n)
}

// place is the index of a session in the line, or -1.
func (rec *record) place(session uint64) int {
	return slices.IndexFunc(rec.line, func(c claim) bool { return c.Session == session })
}

// was names the ownership that is about to end.
func (rec *record) was() *Was {
	return &Was{Key: rec.owner.Key, Session: rec.owner.Session, Epoch: rec.entry.Epoch}
}

// result is the answer to the owner.
func (rec *record) result() Result {
	return Result{State: stateOwner, Epoch: rec.entry.Epoch, Rev: rec.rev}
}
