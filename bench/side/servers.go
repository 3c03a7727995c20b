//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// server is a running process of one of the three kinds.
type server struct {
	kind  string
	dir   string
	path  string // of its socket
	key   string // of ours: its address
	cmd   *exec.Cmd
	extra *dbusConn // to dbus-broker's controller socket
}

const (
	ours   = "switchboard"
	daemon = "dbus-daemon"
	broker = "dbus-broker"
)

// start starts a server that may have so many descriptors.
func start(ctx context.Context, kind, program, work string, files int) (*server, error) {
	dir, err := os.MkdirTemp(work, "s")
	if err != nil {
		return nil, err
	}
	s := &server{kind: kind, dir: dir, path: filepath.Join(dir, "bus")}
	limit := fmt.Sprintf("--nofile=%d:%d", files, files)
	switch kind {
	case ours:
		if s.key, err = address(s.path, dir+"/key"); err != nil {
			return nil, err
		}
		s.cmd = exec.CommandContext(ctx, "prlimit", limit, program, "--listen", "unix:"+s.path, "--key", dir+"/key", "--address-file", dir+"/address")
	case daemon:
		// No <limit>: what stands in its code holds.
		config := `<busconfig><type>session</type><listen>unix:path=` + s.path + `</listen><auth>EXTERNAL</auth><policy context="default">` +
			`<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
		if err := os.WriteFile(dir+"/config", []byte(config), 0o600); err != nil {
			return nil, err
		}
		s.cmd = exec.CommandContext(ctx, "prlimit", limit, daemon, "--config-file="+dir+"/config", "--nofork", "--nopidfile", "--nosyslog")
	case broker:
		return s, s.startBroker(ctx, limit)
	}
	log, err := os.Create(dir + "/log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stderr, s.cmd.Stdout = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(10 * time.Second); ; <-time.After(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", s.path); err == nil {
			return s, conn.Close()
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(dir + "/log") // for the error alone
			return nil, fmt.Errorf("%s does not listen: %s", kind, text)
		}
	}
}

// startBroker starts dbus-broker without its launcher: it gets a socket from us, and
// over that its listener and a policy that allows all.
func (s *server) startBroker(ctx context.Context, limit string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	mine, theirs := os.NewFile(uintptr(pair[0]), "controller"), os.NewFile(uintptr(pair[1]), "broker")
	defer mine.Close()
	s.cmd = exec.CommandContext(ctx, "prlimit", limit, broker, "--controller", "3", "--machine-id", strings.Repeat("1", 32))
	s.cmd.ExtraFiles = []*os.File{theirs}
	err = s.cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	conn, err := net.FileConn(mine)
	if err != nil {
		return err
	}
	if s.extra, err = authenticate(conn.(*net.UnixConn)); err != nil {
		return err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		return err
	}
	ln.SetUnlinkOnClose(false)
	defer ln.Close()
	file, err := ln.File()
	if err != nil {
		return err
	}
	defer file.Close()
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, true); err != nil { // Fd has made it wait, and the broker accepts until it would
		return err
	}
	e := encoder{}
	e.text("/org/bus1/DBus/Listener/0")
	e.u32(0) // the first descriptor of the message
	e.signature("(" + "a(u(" + batch + "))" + "a(buu(" + batch + "))" + "a(ss)bs" + ")")
	allowAll(&e)
	m := &message{kind: isCall, path: "/org/bus1/DBus/Broker", iface: "org.bus1.DBus.Broker", member: "AddListener", sig: "ohv", body: e}
	if err := s.extra.sendFile(m, fd); err != nil {
		return err
	}
	for {
		if got, err := readMessage(s.extra.in); err != nil {
			return err
		} else if got.kind == isError {
			return fmt.Errorf("AddListener: %s: %s", got.fault, got.body)
		} else if got.kind == isReturn {
			return nil
		}
	}
}

// batch is the type of the rules of one user in a policy of dbus-broker 33.
const batch = "bta(btbs)a(btssssuutt)a(btssssuutt)"

// allowAll is a policy: everybody may connect, own, send and receive everything.
func allowAll(e *encoder) {
	e.align(8)
	e.array(8, func() {
		e.align(8)
		e.u32(1<<32 - 1) // every user
		e.align(8)
		e.bool(true)
		e.u64(1)
		e.array(8, func() {
			e.align(8)
			e.bool(true)
			e.u64(1)
			e.bool(true)
			e.text("")
		})
		for range 2 { // send, receive
			e.array(8, func() {
				e.align(8)
				e.bool(true)
				e.u64(1)
				for range 4 {
					e.text("")
				}
				e.u32(0)
				e.u32(0)
				e.u64(0)
				e.u64(1<<64 - 1)
			})
		}
	})
	e.array(8, func() {})
	e.array(8, func() {})
	e.bool(false)
	e.text("session")
}

// alive reports whether the process still runs.
func (s *server) alive() bool { return s.cmd.Process.Signal(unix.Signal(0)) == nil && s.memory() > 0 }

// stop ends it.
func (s *server) stop() {
	if s.extra != nil {
		s.extra.Close()
	}
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
}
