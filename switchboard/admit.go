package switchboard

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/peercred"
	"github.com/cad2f06c/switchboard/shs"
)

// The transports, as entries name them (PROTOCOL.md §5).
const (
	transportUnix  = "unix"
	transportNet   = "net"
	transportLocal = "local"
)

// Why a login was refused. The peer sees a closed connection and nothing else;
// the words are for the log.
var (
	errOtherUser     = errors.New("the peer runs as another user")
	errNotAuthorized = errors.New("the key is not in authorized_peers")
	errServerKey     = errors.New("the server's own key is refused over TCP")
	errKeySessions   = errors.New("too many sessions of this key")
	errSessions      = errors.New("too many sessions")
	errStopping      = errors.New("the server is shutting down")

	// errRevoked ends a session of a key that was in the list before.
	errRevoked = control.NotAllowed.With(errNotAuthorized.Error())
)

// origin is what the kernel says about a connection before its first byte.
type origin struct {
	transport string
	uid       uint32 // of the peer, on a Unix socket
	listenUID uint32 // of who called listen, on a Unix socket
	pid       int32  // of the peer, for the log; it may be gone already
}

// gate decides who is admitted through one listener.
type gate struct {
	transport string
	listenUID uint32
}

// newGate looks at a listener. TCP needs a list of keys: without one it would
// be open to all or to nobody, and neither was meant.
func (s *Server) newGate(ln net.Listener) (gate, error) {
	if _, ok := ln.(*Local); ok {
		return gate{transport: transportLocal}, nil
	}
	if ln.Addr().Network() == "unix" {
		uid, err := peercred.ListenerUID(ln)
		if err != nil {
			return gate{}, fmt.Errorf("reading who owns the socket %s: %w", ln.Addr(), err)
		}
		return gate{transport: transportUnix, listenUID: uid}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.authorized == nil {
		return gate{}, ErrNoAuthorized
	}
	return gate{transport: transportNet}, nil
}

// look reads the origin of an accepted connection. On a Unix socket only the
// server's own user may go on; the mode of the socket file is not trusted.
func (g gate) look(conn net.Conn) (origin, error) {
	o := origin{transport: g.transport, listenUID: g.listenUID}
	if g.transport != transportUnix {
		return o, nil
	}
	var err error
	if o.uid, o.pid, err = peercred.UID(conn); err != nil {
		return o, fmt.Errorf("reading the peer's user: %w", err)
	}
	if o.uid != uint32(os.Geteuid()) {
		return o, fmt.Errorf("%w: uid %d", errOtherUser, o.uid)
	}
	return o, nil
}

// permits decides on a proven key.
func (s *Server) permits(o origin, key shs.PublicKey) error {
	if o.transport != transportNet {
		return nil
	}
	s.mu.Lock()
	_, ok := s.authorized[key]
	s.mu.Unlock()
	switch {
	case ok:
		return nil
	case key == s.key:
		return errServerKey
	}
	return errNotAuthorized
}

// Authorize replaces the keys that are admitted over TCP, while the server
// runs. The sessions over TCP of keys that are no longer listed end, their
// channels with them, and so do channels that have moved to a direct link, as
// far as their peers do as they are told; nil lists nobody. It does not keep the map. Safe for
// concurrent use.
func (s *Server) Authorize(keys map[shs.PublicKey]string) {
	keys = maps.Clone(keys)
	s.mu.Lock()
	s.authorized = keys
	if s.stopping {
		s.mu.Unlock()
		return // all sessions end anyway
	}
	s.wg.Add(1) // what kill starts is waited for by Serve
	defer s.wg.Done()
	revoked := func(key shs.PublicKey, far bool) bool {
		_, ok := keys[key]
		return far && !ok
	}
	tell := s.moved.revoke(revoked, reasonRevoked)
	mine := make(map[*session][]notice) // of those that end
	for _, sess := range s.sessions {
		if revoked(sess.key, sess.transport == transportNet) {
			mine[sess] = nil
		}
	}
	others := tell[:0]
	for _, n := range tell {
		if sess := s.sessions[n.session]; sess != nil && revoked(sess.key, sess.transport == transportNet) {
			mine[sess] = append(mine[sess], n)
			sess.leaving = true
		} else {
			others = append(others, n)
		}
	}
	s.tellLocked(others)
	s.mu.Unlock()
	for sess, notices := range mine {
		sess.revokeKey(notices)
	}
}

// revokeKey ends a session whose key is out, and its channels. Those that have
// moved only its peer can end, so it is told of them first.
func (s *session) revokeKey(notices []notice) {
	if len(notices) == 0 {
		s.kill(errRevoked)
		return
	}
	for _, l := range s.openLinks() {
		s.srv.wg.Go(func() { l.end(reasonGone, s, errRevoked) })
	}
	s.srv.wg.Go(func() {
		s.goodbyes(notices)
		s.kill(errRevoked)
	})
}
