package switchboard

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// unnamedFor is how long a descriptor that was passed counts.
const unnamedFor = 10 * time.Second

var errUnnamed = errors.New("too many descriptors are under way")

// unnamed are the descriptors that peers may not have taken yet: the kernel counts
// those that nobody has read, whose ever they are. They are counted in and given up
// by time, for a peer may take them and say nothing.
type unnamed struct {
	mu   sync.Mutex
	list []sentFD
}

type sentFD struct {
	to      *session
	channel channel.ID
	until   time.Time
}

// take counts a descriptor in for each of two sessions, or says which limit that
// would pass.
func (u *unnamed) take(to [2]*session, id channel.ID, now time.Time, l *Limits) (over bound, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = slices.DeleteFunc(u.list, func(d sentFD) bool { return !d.until.After(now) })
	before := len(u.list)
	for _, s := range to {
		u.list = append(u.list, sentFD{s, id, now.Add(unnamedFor)})
	}
	switch {
	case len(u.list) > l.PassedTotal:
		over = overPassedTotal
	case u.countLocked(to[0]) > l.Passed || u.countLocked(to[1]) > l.Passed:
		over = overPassed
	default:
		return 0, true
	}
	clear(u.list[before:])
	u.list = u.list[:before]
	return over, false
}

func (u *unnamed) countLocked(s *session) (n int) {
	for _, d := range u.list {
		if d.to == s {
			n++
		}
	}
	return n
}

// named notes that a session has taken what it was passed for a channel.
func (u *unnamed) named(s *session, id channel.ID) {
	u.drop(func(d sentFD) bool { return d.to == s && d.channel == id })
}

// over notes that nothing passed for a channel is waited for any more.
func (u *unnamed) over(id channel.ID) { u.drop(func(d sentFD) bool { return d.channel == id }) }

// end forgets a session.
func (u *unnamed) end(s *session) { u.drop(func(d sentFD) bool { return d.to == s }) }

func (u *unnamed) drop(these func(sentFD) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = slices.DeleteFunc(u.list, these)
}

// passPair makes a link of the kind fd: the two ends of a socket pair are on
// their way to the two sessions before either is told of its. It returns the
// number of the caller's, and has the callee called.
func (s *session) passPair(target *session, id channel.ID) (int, error) {
	s.srv.mu.Lock()
	m := [2]*mux.Session{s.mux, target.mux}
	s.srv.mu.Unlock()
	if m[0] == nil || m[1] == nil {
		return 0, mux.ErrNoFiles
	}
	if over, ok := s.srv.unnamed.take([2]*session{s, target}, id, time.Now(), &s.srv.limits); !ok {
		s.srv.over.count(over)
		return 0, errUnnamed
	}
	pair, err := socketPair()
	if err != nil {
		return 0, err
	}
	ours, err := m[0].SendFile(pair[0])
	if err != nil {
		pair[1].Close()
		return 0, err
	}
	theirs, err := m[1].SendFile(pair[1])
	if err != nil {
		return 0, err // the caller has one that nobody names
	}
	target.spawn(func() {
		target.callFD(m[1], id, theirs)
		s.srv.unnamed.named(target, id)
	})
	return ours, nil
}

// callFD tells a callee which descriptor is its end. What it answers changes
// nothing: a caller whose other end nobody holds reads the end of its own.
func (s *session) callFD(m *mux.Session, id channel.ID, index int) {
	ctx, cancel := context.WithTimeout(s.ctx, unnamedFor)
	defer cancel()
	stream, err := callStream(ctx, m, control.MethodChannelFD, "async", &control.ChannelFDArgs{Channel: id.String(), FD: index})
	if err != nil {
		return
	}
	_, _ = muxrpc.ReadPacket(stream, control.MaxServerBody)
	stream.Close()
}
