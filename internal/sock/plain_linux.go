//go:build !(amd64 || arm64 || loong64 || riscv64)

package sock

import "golang.org/x/sys/unix"

// Recvmsg is recvmsg(2) into p, of one control message into control, whose
// descriptors are closed on exec. It returns how much of both was filled.
func (Calls) Recvmsg(fd uintptr, p, control []byte) (n, filled, flags int, err error) {
	n, filled, flags, _, err = unix.Recvmsg(int(fd), p, control, unix.MSG_CMSG_CLOEXEC)
	return n, filled, flags, err
}
