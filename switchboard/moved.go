package switchboard

import (
	"container/list"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// role is which end of a channel.
type role int

const (
	roleCaller role = iota
	roleCallee
)

func (r role) other() role { return 1 - r }

// moved is a channel that runs over a direct link. The server sees none of its
// bytes; it knows who stands for its ends.
//
// Each end, by itself:
//
//	        ┌──────── adopt, of the same key ────────┐
//	        ▼                                        │
//	bound ──┴─ its session is gone ──▸ away ─────────┤
//	  │                                 │ after 60 s,│ if it may survive
//	  │                                 │    └──▸ lost
//	  ├─ channel.closed, or it is told  ├─ channel.closed
//	  └────────────▸ done ◂─────────────┴─ after 60 s
//
// The channel begins with both ends bound when it moves; or, after a restart,
// with the end that adopts it bound and the other away. It is forgotten when no
// end is bound or away.
//
// When it is to end, by whomever, and when an end that may not survive stays
// away too long, it is closing: a bound end is told and done; one that is away
// is refused when it comes, and done.
type moved struct {
	// set at construction
	id    channel.ID
	name  string        // what was called
	to    policy.Object // by which the caller may talk to the callee; no name: it calls back, or nobody knows
	since time.Time

	in, out int64  // bytes that went over the server, from the caller and to it
	said    int64  // bytes both ways, as an end that is through has said
	why     string // as it has said
	kind    string
	survive bool // an end may be away for longer
	closing bool
	ends    [2]movedEnd
}

type endState uint8

const (
	endBound endState = iota
	endAway
	endLost
	endDone
)

// movedEnd is one end of a moved channel.
type movedEnd struct {
	key     shs.PublicKey
	far     bool // its last session came over TCP
	state   endState
	session uint64         // if bound
	due     *list.Element  // if away, in movedBooks.due
	payer   *shs.PublicKey // if away or lost: whom it counts for
}

// notice is a channel.close that a session is to be told.
type notice struct {
	session uint64
	id      channel.ID
	reason  string
}

// movedBooks are all moved channels. They are pure: time is passed in, and who
// is to be told is returned.
type movedBooks struct {
	limit    int           // channels of one session
	lease    time.Duration // for which an end may be without a session
	channels map[channel.ID]*moved
	of       map[uint64]map[channel.ID]struct{} // by session
	absent   map[shs.PublicKey]int              // ends that are away or lost, by who pays
	due      list.List                          // of due: the ends that are away, longest first
	over     func(*moved)                       // hears of each that is forgotten; nil: nobody
}

// maxAbsent is how many ends without a session may count for one key, in
// channels of one session. Over it they end at once.
const maxAbsent = 4

// due is when an end that is away is looked at.
type due struct {
	at   time.Time
	m    *moved
	role role
}

func newMovedBooks(limit int, lease time.Duration) movedBooks {
	return movedBooks{
		limit:    limit,
		lease:    lease,
		channels: make(map[channel.ID]*moved),
		of:       make(map[uint64]map[channel.ID]struct{}),
		absent:   make(map[shs.PublicKey]int),
	}
}

// room reports whether a session may have one more channel.
func (b *movedBooks) room(session uint64) bool { return len(b.of[session]) < b.limit }

// full reports whether a session may not have a channel beside those that it has.
func (b *movedBooks) full(session uint64, id channel.ID) bool {
	_, has := b.of[session][id]
	return !has && !b.room(session)
}

// enter takes in a channel that has just moved. An end without a session is
// away from now on, one that is done stays so. It returns who is to be told.
func (b *movedBooks) enter(now time.Time, m *moved) (tell []notice) {
	b.channels[m.id] = m
	states := [2]endState{m.ends[0].state, m.ends[1].state}
	sessions := [2]uint64{m.ends[0].session, m.ends[1].session}
	m.ends[0].state, m.ends[1].state = endDone, endDone
	for r := range m.ends {
		if states[r] == endBound {
			b.bind(m, role(r), sessions[r], m.ends[r].far)
		}
	}
	for r := range m.ends {
		if states[r] == endAway {
			tell = append(tell, b.leave(now, m, role(r), m.ends[r].key)...)
		}
	}
	b.settle(m)
	return tell
}

// closed takes an end's word that it is over. It reports false if the channel
// is not known, or the session does not stand for an end of it that is not done.
func (b *movedBooks) closed(id channel.ID, session uint64, key shs.PublicKey) bool {
	m := b.channels[id]
	if m == nil {
		return false
	}
	for _, bound := range []bool{true, false} { // its own end, or else one that its key has and nobody stands for
		for r := range m.ends {
			e := &m.ends[r]
			if bound && e.state == endBound && e.session == session ||
				!bound && (e.state == endAway || e.state == endLost) && e.key == key {
				b.finish(m, role(r))
				b.settle(m)
				return true
			}
		}
	}
	return false
}

// gone takes the end of a session: nobody stands for its ends now. It returns
// who is to be told, which is nobody but for a key with too many of them.
func (b *movedBooks) gone(now time.Time, session uint64) (tell []notice) {
	for id := range b.of[session] {
		m := b.channels[id]
		for r := range m.ends {
			if e := &m.ends[r]; e.state == endBound && e.session == session {
				tell = append(tell, b.leave(now, m, role(r), e.key)...)
			}
		}
		b.settle(m)
	}
	return tell
}

// close ends a channel. It returns who is to be told, and false if the channel
// is not known or has been closed already.
func (b *movedBooks) close(id channel.ID, reason string) ([]notice, bool) {
	m := b.channels[id]
	if m == nil || m.closing {
		return nil, false
	}
	return b.shut(m, reason), true
}

// revoke closes the channels that are out.
func (b *movedBooks) revoke(out func(*moved) bool, reason string) (tell []notice) {
	for _, m := range b.channels {
		if !m.closing && out(m) {
			tell = append(tell, b.shut(m, reason)...)
		}
	}
	return tell
}

// expire looks at the ends that have been away for the lease, and returns who
// is to be told that the other end does not come back.
func (b *movedBooks) expire(now time.Time) (tell []notice) {
	for e := b.due.Front(); e != nil && !e.Value.(due).at.After(now); e = b.due.Front() {
		m, r := e.Value.(due).m, e.Value.(due).role
		if m.survive && !m.closing {
			b.due.Remove(e)
			m.ends[r].state, m.ends[r].due = endLost, nil
			b.settle(m)
			continue
		}
		tell = append(tell, b.giveUp(m, r)...)
	}
	return tell
}

// giveUp ends a channel one end of which does not come back.
func (b *movedBooks) giveUp(m *moved, r role) (tell []notice) {
	b.finish(m, r)
	if !m.closing {
		tell = b.shut(m, reasonGone)
	}
	b.settle(m)
	return tell
}

// next is when expire has something to look at; no time if it has not.
func (b *movedBooks) next() time.Time {
	if e := b.due.Front(); e != nil {
		return e.Value.(due).at
	}
	return time.Time{}
}

// shut makes a channel closing.
func (b *movedBooks) shut(m *moved, reason string) (tell []notice) {
	m.closing = true
	for r := range m.ends {
		switch e := &m.ends[r]; e.state {
		case endBound:
			tell = append(tell, notice{e.session, m.id, reason})
			b.finish(m, role(r))
		case endLost:
			b.finish(m, role(r))
		}
	}
	b.settle(m)
	return tell
}

// bind makes a session stand for an end.
func (b *movedBooks) bind(m *moved, r role, session uint64, far bool) {
	b.clear(m, r)
	e := &m.ends[r]
	e.state, e.session, e.far = endBound, session, far
	ids := b.of[session]
	if ids == nil {
		ids = make(map[channel.ID]struct{})
		b.of[session] = ids
	}
	ids[m.id] = struct{}{}
}

// leave makes an end away, for which payer pays. If that has too many, the
// channel ends.
func (b *movedBooks) leave(now time.Time, m *moved, r role, payer shs.PublicKey) []notice {
	b.clear(m, r)
	if b.absent[payer] >= maxAbsent*b.limit {
		return b.giveUp(m, r)
	}
	b.absent[payer]++
	e := &m.ends[r]
	e.state, e.payer = endAway, &payer
	e.due = b.due.PushBack(due{now.Add(b.lease), m, r})
	return nil
}

func (b *movedBooks) finish(m *moved, r role) {
	b.clear(m, r)
	m.ends[r].state = endDone
}

// clear takes an end out of what it is in.
func (b *movedBooks) clear(m *moved, r role) {
	e, other := &m.ends[r], &m.ends[r.other()]
	if e.due != nil {
		b.due.Remove(e.due)
		e.due = nil
	}
	if e.payer != nil {
		if b.absent[*e.payer]--; b.absent[*e.payer] == 0 {
			delete(b.absent, *e.payer)
		}
		e.payer = nil
	}
	if e.state != endBound {
		return
	}
	session := e.session
	e.session = 0
	if other.state == endBound && other.session == session {
		return // it has the other end, too
	}
	ids := b.of[session]
	delete(ids, m.id)
	if len(ids) == 0 {
		delete(b.of, session)
	}
}

// settle forgets a channel that nobody stands for or may come for.
func (b *movedBooks) settle(m *moved) {
	for _, e := range m.ends {
		if e.state == endBound || e.state == endAway {
			return
		}
	}
	for r := range m.ends {
		b.finish(m, role(r))
	}
	if b.over != nil && b.channels[m.id] == m {
		b.over(m)
	}
	delete(b.channels, m.id)
}

// shares reports whether a session stands for an end of a channel the other end
// of which is of a key, and that does not call back.
func (b *movedBooks) shares(session uint64, key shs.PublicKey) bool {
	for id := range b.of[session] {
		m := b.channels[id]
		for r := range m.ends {
			if m.ends[r].session == session && m.ends[role(r).other()].key == key && !m.callsBack() {
				return true
			}
		}
	}
	return false
}
