package raw

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
)

// relay is the server of R.
type relay struct {
	conns sync.WaitGroup

	mu      sync.Mutex
	names   map[string]string // to the callee's socket
	watches map[chan string]struct{}
}

// Relay serves R on a Unix socket until ctx ends, and calls ready when it may be
// dialled. Connections that are open then live until the process ends.
func Relay(ctx context.Context, socket string, ready func(addr string)) error {
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	r := &relay{names: make(map[string]string), watches: make(map[chan string]struct{})}
	ready(socket)
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		r.conns.Go(func() { r.serve(c) })
	}
}

func (r *relay) serve(c net.Conn) {
	defer c.Close()
	first, err := receive(c)
	if err != nil {
		return
	}
	switch word, name, _ := strings.Cut(first, " "); word {
	case "hello":
		if send(c, "ok") == nil {
			r.calls(c)
		}
	case "watch":
		r.watch(c)
	case "open":
		r.mu.Lock()
		socket := r.names[name]
		r.mu.Unlock()
		if callee, err := net.Dial("unix", socket); err == nil {
			join(c.(*net.UnixConn), callee.(*net.UnixConn))
		}
	}
}

// join copies both ways until both have ended.
func join(caller, callee *net.UnixConn) {
	defer callee.Close()
	var back sync.WaitGroup
	back.Go(func() { pass(caller, callee) })
	pass(callee, caller)
	back.Wait()
}

// pass copies one direction, in pieces of 32 KiB, and passes its end on.
func pass(dst, src *net.UnixConn) {
	io.Copy(dst, src)
	dst.CloseWrite()
}

// calls answers the calls of one client, and gives up its names in the end.
func (r *relay) calls(c net.Conn) {
	var mine []string
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, name := range mine {
			delete(r.names, name)
		}
	}()
	in := bufio.NewReaderSize(c, 512)
	for {
		call, err := receive(in)
		if err != nil {
			return
		}
		answer := "ok"
		word, rest, _ := strings.Cut(call, " ")
		switch word {
		case "claim":
			name, socket, _ := strings.Cut(rest, " ")
			if r.claim(name, socket) {
				mine = append(mine, name)
			} else {
				answer = "taken"
			}
		case "release":
			r.mu.Lock()
			delete(r.names, rest)
			r.mu.Unlock()
		case "list":
			answer = r.list()
		}
		if send(c, answer) != nil {
			return
		}
	}
}

// claim enters a name, unless it is there, and tells the watches.
func (r *relay) claim(name, socket string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.names[name]; taken {
		return false
	}
	r.names[name] = socket
	for w := range r.watches {
		select {
		case w <- name:
		default: // the bench counts what was seen
		}
	}
	return true
}

// list makes the text anew for each call.
func (r *relay) list() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for name := range r.names {
		b.WriteString(name)
		b.WriteByte('\n')
	}
	return b.String()
}

func (r *relay) watch(c net.Conn) {
	names := make(chan string, 4096)
	r.mu.Lock()
	r.watches[names] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.watches, names)
		r.mu.Unlock()
	}()
	err := send(c, "ok")
	for err == nil {
		err = send(c, <-names)
	}
}
