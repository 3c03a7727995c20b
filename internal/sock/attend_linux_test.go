package sock_test

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// small makes the segments of a connection small, and the room of its end: a window
// opens little by little, and less than the writer waits for.
func small(_, _ string, rc syscall.RawConn) (err error) {
	_ = rc.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1400); err == nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 256<<10)
		}
	})
	return err
}

// conns returns the two ends of a TCP connection.
func conns(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	ln, err := (&net.ListenConfig{Control: small}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	x, err := (&net.Dialer{Control: small}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	y, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close(); y.Close() })
	return x.(*net.TCPConn), y.(*net.TCPConn)
}

// TestAttendPatient: the other end does not read for longer than it may be silent,
// then a little at a time, then all.
func TestAttendPatient(t *testing.T) {
	t.Parallel()
	a, b := conns(t)
	const timeout, size, sip = time.Second, 8 << 20, 100_000
	sock.Attend(a, timeout, func(d time.Duration, f func()) { time.AfterFunc(d, f) })
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		tick := time.NewTicker(timeout / 2)
		defer tick.Stop()
		left := int64(size)
		for i := range 16 {
			<-tick.C
			if i < 6 {
				continue
			}
			if _, err := io.CopyN(io.Discard, b, sip); err != nil {
				t.Error(err)
				return
			}
			left -= sip
		}
		if _, err := io.CopyN(io.Discard, b, left); err != nil {
			t.Error(err)
		}
	})
	if n, err := a.Write(make([]byte, size)); err != nil {
		t.Errorf("after %d bytes: %v", n, err)
		b.Close()
	}
}
