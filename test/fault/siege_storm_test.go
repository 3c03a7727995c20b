//go:build fault && linux

package fault_test

import (
	"net"
	"net/netip"
	"syscall"
	"time"
)

// What a storm holds, and how long a connection has to come about.
const (
	stormHeld   = 2 * halfOpenCap // the server has closed them long before
	stormBehind = 16              // connections between the connect and the hello
)

// Storm begins a flood that costs whoever makes it as little as can be, so that what
// it does to others on the same processors is the work of whom it is for: its hellos are
// made already, it reads nothing, and closes without a word.
func (a *Agent) Storm(args SiegeArgs, _ *None) error {
	to, err := netip.ParseAddrPort(args.Address)
	if err != nil {
		return err
	}
	var from [][4]byte
	for _, text := range args.From {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		from = append(from, addr.As4())
	}
	a.besiege(func(s *siege) {
		s.storm(&syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}, from, args)
	})
	return nil
}

// storm makes the connections, each from the next address.
func (s *siege) storm(to syscall.Sockaddr, from [][4]byte, args SiegeArgs) {
	var held [stormHeld]int // descriptors, the oldest replaced first
	for i := range held {
		held[i] = -1
	}
	defer func() {
		for _, fd := range held {
			if fd >= 0 {
				_ = syscall.Close(fd) // nobody waits for it
			}
		}
	}()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for i := 0; i < args.N; {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		for due := min(args.N, int(time.Since(began).Seconds()*float64(args.Rate))); i < due; i++ {
			at := &held[i%stormHeld]
			if *at >= 0 {
				_ = syscall.Close(*at) // the server did so before
			}
			if *at = begin(from[i%len(from)], to); *at < 0 {
				s.failed.Add(1)
			}
			if i < stormBehind {
				continue
			}
			if fd := held[(i-stormBehind)%stormHeld]; fd >= 0 {
				if _, err := syscall.Write(fd, args.Say); err != nil {
					s.failed.Add(1)
					continue
				}
				s.made.Add(1)
			}
		}
	}
}

// begin connects without a wait. It returns -1 where that cannot be.
func begin(from [4]byte, to syscall.Sockaddr) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	const noPort = 24 // IP_BIND_ADDRESS_NO_PORT: the port is found at connect, which is faster
	for _, err := range []error{
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, noPort, 1),
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: from}),
	} {
		if err != nil {
			_ = syscall.Close(fd) // the first error counts
			return -1
		}
	}
	if err := syscall.Connect(fd, to); err != nil && err != syscall.EINPROGRESS {
		_ = syscall.Close(fd)
		return -1
	}
	return fd
}

// Sink listens, and does nothing but to accept: of what comes it holds as many as
// a server would, and closes the oldest for the next. It is what a flood costs that
// no server can help.
func (a *Agent) Sink(address string, _ *None) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	a.sinks.Go(func() {
		var held [halfOpenCap]net.Conn
		for i := 0; ; i++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if old := held[i%len(held)]; old != nil {
				old.Close()
			}
			held[i%len(held)] = conn
		}
	})
	return nil
}
