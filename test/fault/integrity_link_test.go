//go:build fault

package fault_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// linkSockets returns descriptors of this process's own, each a copy of one that
// belongs to a direct link. serverPort is that of sessions, which are none.
func linkSockets(serverPort int) (fds []int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fd, err := syscall.Dup(n) // which nobody closes under us
		if err != nil {
			continue
		}
		if isLink(fd, serverPort) {
			fds = append(fds, fd)
		} else {
			syscall.Close(fd)
		}
	}
	return fds
}

// isLink tells by the addresses: a socket in a link's directory, one of a pair,
// which have none, or TCP between two ports neither of which is the server's.
func isLink(fd, serverPort int) bool {
	local, err1 := syscall.Getsockname(fd)
	peer, err2 := syscall.Getpeername(fd)
	if err1 != nil || err2 != nil {
		return false
	}
	switch local := local.(type) {
	case *syscall.SockaddrUnix:
		other := peer.(*syscall.SockaddrUnix).Name
		return strings.HasSuffix(local.Name, "/link") || strings.HasSuffix(other, "/link") || local.Name == "" && other == ""
	case *syscall.SockaddrInet4:
		return local.Port != serverPort && peer.(*syscall.SockaddrInet4).Port != serverPort
	}
	return false
}

// killLinks shuts down at most n links of this process at random, one or both
// directions of each, and returns how many.
func killLinks(r *rand.Rand, n, serverPort int) (killed int) {
	fds := linkSockets(serverPort)
	r.Shuffle(len(fds), func(i, j int) { fds[i], fds[j] = fds[j], fds[i] })
	for i, fd := range fds {
		if i < n && syscall.Shutdown(fd, r.IntN(3)) == nil { // SHUT_RD, SHUT_WR, SHUT_RDWR
			killed++
		}
		syscall.Close(fd)
	}
	return killed
}
