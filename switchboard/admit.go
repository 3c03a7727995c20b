package switchboard

import (
	"errors"
	"fmt"
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
	errOtherUser   = errors.New("the peer runs as another user")
	errKeySessions = errors.New("too many sessions of this key")
	errSessions    = errors.New("too many sessions")
	errStopping    = errors.New("the server is shutting down")

	// errRevoked ends a session whose key was admitted before.
	errRevoked = control.NotAllowed.With("the policy admits the key no longer")
)

// origin is what the kernel says about a connection before its first byte.
type origin struct {
	transport string
	uid       uint32           // of the peer, on a Unix socket
	listenUID uint32           // of who called listen, on a Unix socket
	pid       int32            // of the peer, for the log; it may be gone already
	process   peercred.Process // of the peer, on a Unix socket, once it has logged in
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
	if !s.rules.Load().source.keys {
		return gate{}, ErrNoPolicy
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
	_, err := s.rules.Load().admit(key, originOf(o.transport))
	return err
}
