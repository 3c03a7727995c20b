//go:build linux

package sock_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// pair returns two sockets that do not wait and are gone with the test.
func pair(t *testing.T) (a, b uintptr) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return uintptr(fds[0]), uintptr(fds[1])
}

// TestCalls: what is written is read, in pieces and whole, and errors are the
// system's, whether the scheduler is told or not.
func TestCalls(t *testing.T) {
	for _, calls := range []sock.Calls{false, true} {
		t.Run(fmt.Sprintf("quiet=%v", calls), func(t *testing.T) {
			a, b := pair(t)
			p := make([]byte, 8)
			if n, err := calls.Read(b, p); n > 0 || err != unix.EAGAIN {
				t.Errorf("nothing there: %d, %v", n, err)
			}
			if n, err := calls.Write(a, []byte("one")); n != 3 || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			if n, err := calls.Writev(a, []byte("two"), []byte("three")); n != 8 || err != nil {
				t.Errorf("Writev: %d, %v", n, err)
			}
			if n, err := calls.Read(b, p[:4]); string(p[:n]) != "onet" || err != nil {
				t.Errorf("Read: %q, %v", p[:n], err)
			}
			if n, err := calls.Readv(b, p[:2], p[4:]); n != 6 || string(p[:2])+string(p[4:]) != "wothre" || err != nil {
				t.Errorf("Readv: %d, %q, %v", n, p, err)
			}
			if n, filled, flags, err := calls.Recvmsg(b, p, nil); string(p[:n]) != "e" || filled != 0 || flags&unix.MSG_CTRUNC != 0 || err != nil {
				t.Errorf("Recvmsg: %q, %d, %x, %v", p[:n], filled, flags, err)
			}
			if n, _, _, err := calls.Recvmsg(b, p, nil); n > 0 || err != unix.EAGAIN {
				t.Errorf("Recvmsg of nothing: %d, %v", n, err)
			}
			if err := unix.Shutdown(int(a), unix.SHUT_WR); err != nil {
				t.Fatal(err)
			}
			if n, err := calls.Readv(b, p[:1], p[1:]); n != 0 || err != nil {
				t.Errorf("the end: %d, %v", n, err)
			}
			if n, err := calls.Write(^uintptr(0), p); n > 0 || err != unix.EBADF {
				t.Errorf("no descriptor: %d, %v", n, err)
			}
		})
	}
}

// TestFull: a socket that is full takes a part, and then says so.
func TestFull(t *testing.T) {
	for _, calls := range []sock.Calls{false, true} {
		a, b := pair(t)
		big := bytes.Repeat([]byte("x"), 1<<20)
		sent := 0
		for {
			n, err := calls.Writev(a, big[:10], big)
			if sent += n; err == unix.EAGAIN {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		got := 0
		for got < sent {
			n, err := calls.Read(b, big)
			if err != nil || n == 0 {
				t.Fatalf("quiet=%v: %d of %d bytes, then %d, %v", calls, got, sent, n, err)
			}
			got += n
		}
	}
}

// TestRights: a passed descriptor comes with its message, closed on exec.
func TestRights(t *testing.T) {
	for _, calls := range []sock.Calls{false, true} {
		a, b := pair(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Sendmsg(int(a), []byte("x"), unix.UnixRights(int(w.Fd())), nil, 0); err != nil {
			t.Fatal(err)
		}
		p, control := make([]byte, 4), make([]byte, unix.CmsgSpace(4))
		n, filled, flags, err := calls.Recvmsg(b, p, control)
		if n != 1 || flags&unix.MSG_CTRUNC != 0 || err != nil {
			t.Fatalf("quiet=%v: %d bytes, flags %x, %v", calls, n, flags, err)
		}
		msgs, err := unix.ParseSocketControlMessage(control[:filled])
		if err != nil || len(msgs) != 1 {
			t.Fatalf("quiet=%v: %d messages, %v", calls, len(msgs), err)
		}
		fds, err := unix.ParseUnixRights(&msgs[0])
		if err != nil || len(fds) != 1 {
			t.Fatalf("quiet=%v: descriptors %v, %v", calls, fds, err)
		}
		if flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("quiet=%v: flags %x, %v", calls, flags, err)
		}
		err = errors.Join(unix.Close(fds[0]), w.Close(), r.Close())
		if err != nil {
			t.Error(err)
		}
	}
}
