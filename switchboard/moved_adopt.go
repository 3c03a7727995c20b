package switchboard

import (
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// adoption is one end that a new session claims.
type adoption struct {
	id      channel.ID
	role    role
	peer    shs.PublicKey // the other end's
	name    string
	to      policy.Object // that it calls, if the session may say so
	kind    string
	survive bool

	session uint64
	key     shs.PublicKey
	far     bool
}

// adopt binds an end to a session, and reports whether it did. A channel that
// is not known is taken on the word of the session, if the other end says the
// same within the lease.
func (b *movedBooks) adopt(now time.Time, a adoption) bool {
	m := b.channels[a.id]
	switch {
	case b.full(a.session, a.id):
		return false
	case m == nil:
		return b.begin(now, a)
	case !m.fits(a):
		return false
	case m.closing:
		b.finish(m, a.role)
		b.settle(m)
		return false
	}
	m.survive = a.survive
	b.bind(m, a.role, a.session, a.far)
	if other := a.role.other(); m.ends[other].state == endLost && !m.survive {
		b.leave(now, m, other, *m.ends[other].payer) // it may not be lost any more; there is room, which it had
	}
	return true
}

// fits reports whether an adoption is of an end that the channel has, and that
// is not over.
func (m *moved) fits(a adoption) bool {
	e := &m.ends[a.role]
	return e.key == a.key && m.ends[a.role.other()].key == a.peer && e.state != endDone
}

// begin takes a channel on the word of one end, whose key pays for the other.
func (b *movedBooks) begin(now time.Time, a adoption) bool {
	if b.absent[a.key] >= maxAbsent*b.limit {
		return false
	}
	m := &moved{id: a.id, name: a.name, to: a.to, since: now, kind: a.kind, survive: a.survive}
	m.ends[a.role] = movedEnd{key: a.key, state: endDone}
	m.ends[a.role.other()] = movedEnd{key: a.peer, state: endDone}
	b.channels[m.id] = m
	b.bind(m, a.role, a.session, a.far)
	b.leave(now, m, a.role.other(), a.key) // there is room: nobody is to be told
	return true
}

// deny ends a channel that an end may no longer have, as it would adopt it. It
// returns who is to be told.
func (b *movedBooks) deny(a adoption, reason string) (tell []notice) {
	m := b.channels[a.id]
	if m == nil || !m.fits(a) {
		return nil
	}
	if !m.closing {
		tell = b.shut(m, reason)
	}
	b.finish(m, a.role)
	b.settle(m)
	return tell
}
