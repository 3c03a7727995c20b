// Package peercred asks the kernel who is at the other end of a Unix socket, and
// who called listen on one. PROTOCOL.md §2 needs both uids for the purpose key of
// plain mode.
//
// What the kernel recorded cannot be claimed by the peer: the effective uid at
// connect for a connection's client, at listen for its server. It is the uid as
// seen from this process's user namespace.
//
// There are no types: UID reads a connection, ListenerUID a listener. Both are safe
// for concurrent use and keep nothing. Linux and macOS know the answer, other
// systems say ErrUnsupported.
package peercred

import (
	"errors"
	"net"
)

var (
	// ErrUnsupported says that this system does not tell who its peers are.
	ErrUnsupported = errors.New("peercred: not supported on this system")

	// ErrNotUnix says that the connection or listener is no Unix socket, or hides
	// it: a wrapper must pass SyscallConn through.
	ErrNotUnix = errors.New("peercred: not a Unix socket")
)

// UID returns the effective uid and the process of the peer of a Unix connection,
// as recorded when it was connected (seen from the server) or listened for (seen
// from the client). The process may be gone, and its number another's: pid is for
// the log only; 0 is unknown. The errors are ErrNotUnix, ErrUnsupported, and those
// of a closed connection.
func UID(conn net.Conn) (uid uint32, pid int32, err error) {
	return peer(conn)
}

// ListenerUID returns the effective uid of whoever called listen on a Unix socket,
// which under socket activation is the activator and not this process. macOS keeps
// no record for a listening socket: there it is the effective uid of this process
// at the time of the call, which is wrong for a socket that another user's process
// passed on; plain mode then fails and box mode is what remains. The errors are
// those of UID.
func ListenerUID(ln net.Listener) (uint32, error) {
	return listener(ln)
}
