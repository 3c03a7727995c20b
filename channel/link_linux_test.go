package channel_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// TestLinkTuned: the kernel ends a TCP link whose other end is gone.
func TestLinkTuned(t *testing.T) {
	dir := tidy(t)
	caller, callee := attempts()
	l := listenLink(t, callee, dir, channel.Net)
	a := accept(t.Context(), l, true)
	mine, err := dialLink(t, caller, channel.Net, addrOf(l, channel.Net))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := a.wait(t)
	if err != nil {
		t.Fatal(err)
	}
	for end, link := range map[string]*shs.Conn{"caller": mine, "callee": theirs} {
		rc, err := link.NetConn().(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for option, want := range map[int]int{
			unix.TCP_NODELAY: 1, unix.TCP_RTO_MAX_MS: 2_500,
			unix.TCP_KEEPIDLE: 15, unix.TCP_KEEPINTVL: 5, unix.TCP_KEEPCNT: 2,
		} {
			var got int
			var inner error
			err := rc.Control(func(fd uintptr) { got, inner = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option) })
			if option == unix.TCP_RTO_MAX_MS && inner == unix.ENOPROTOOPT {
				continue // before Linux 6.15
			}
			if got != want || err != nil || inner != nil {
				t.Errorf("%s: option %d is %d, %v, %v, want %d", end, option, got, err, inner, want)
			}
		}
	}
}

// TestLinkDiskFull: with no place for the directory, or only for the directory,
// the kind is left out and nothing stays behind.
func TestLinkDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := tidy(t)
	_, callee := attempts()
	for inodes := 1; inodes <= 3; inodes++ { // the root of the disk is one
		var wg sync.WaitGroup
		wg.Go(func() {
			// The mount is seen by this thread only, and ends with it.
			runtime.LockOSThread()
			err := errors.Join(
				unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS),
				unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
				unix.Mount("tmpfs", dir, "tmpfs", 0, "nr_inodes="+strconv.Itoa(inodes)))
			if err != nil {
				t.Logf("no small disk here: %v", err)
				return
			}
			l, err := callee.Listen(linkKinds[:1], channel.ListenOptions{Dir: dir})
			if inodes == 3 {
				if err != nil {
					t.Errorf("with room for both: %v", err)
					return
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			} else if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("with %d inodes: %v, want ENOSPC", inodes, err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
				t.Errorf("with %d inodes there is left %v", inodes, left)
			}
		})
		wg.Wait()
	}
}
