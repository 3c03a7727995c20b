//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the scenes do.
const (
	piece    = 60_000 // bytes of a message to a receiver that takes none
	lots     = 512 << 20
	stallers = 2000 // connections that say a byte and wait
	scarce   = 64   // descriptors
	many     = 4096
	besiege  = 500 // connections to a server with few descriptors
)

// row is what came of a scene at one server.
type row struct {
	scene, server                      string
	culprit, neighbour, newcomer, note string
	before, most                       int64         // resident bytes
	used                               time.Duration // of processors
	length                             time.Duration
	alive                              bool
}

// scene runs f beside two neighbours and newcomers, and says how these fared.
func (s *server) scene(ctx context.Context, name string, near *duo, f func(r *row)) row {
	r := row{scene: name, server: s.kind}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var rounds, logins tally
	r.before = s.memory()
	_ = os.WriteFile("/proc/"+strconv.Itoa(s.cmd.Process.Pid)+"/clear_refs", []byte("5"), 0) // else the peak is of the start, too
	used, began := s.cpu(), time.Now()
	wg.Go(func() { rounds.repeat(stop, time.Millisecond, near.round) })
	wg.Go(func() { logins.repeat(stop, 100*time.Millisecond, func() error { return s.login(ctx) }) })
	f(&r)
	r.length = time.Since(began)
	close(stop)
	wg.Wait()
	r.used, r.most, r.alive = s.cpu()-used, max(s.peak(), r.before), s.alive()
	r.neighbour, r.newcomer = rounds.String(), logins.String()
	return r
}

// tally counts what went well, and how long it took.
type tally struct {
	ok, failed int
	slowest    time.Duration
	err        error
}

// repeat does f until stop. Who is cut does not try again.
func (t *tally) repeat(stop <-chan struct{}, every time.Duration, f func() error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		began := time.Now()
		if err := f(); err != nil {
			t.failed, t.err = t.failed+1, err
			if every < 10*time.Millisecond {
				return
			}
			continue
		}
		t.ok++
		t.slowest = max(t.slowest, time.Since(began))
	}
}

func (t *tally) String() string {
	text := fmt.Sprintf("%d, slowest %v", t.ok, t.slowest.Round(time.Millisecond))
	if t.failed > 0 {
		text += fmt.Sprintf("; %d failed (%v)", t.failed, short(t.err))
	}
	return text
}

// short is an error in a few words.
func short(err error) string {
	for _, known := range []struct {
		err  error
		text string
	}{{os.ErrDeadlineExceeded, "no answer in time"}, {context.DeadlineExceeded, "no answer in time"}, {io.EOF, "cut"}, {io.ErrUnexpectedEOF, "cut"},
		{syscall.EPIPE, "cut"}, {syscall.ECONNRESET, "cut"}, {syscall.ECONNREFUSED, "refused"}, {syscall.EAGAIN, "not accepted"}} {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	return fmt.Sprintf("%.60v", err)
}

// slowReader fills a receiver that takes nothing, until somebody stops the sender.
func (s *server) slowReader(ctx context.Context, length time.Duration) (row, error) {
	near, err := s.duo(ctx)
	if err != nil {
		return row{}, err
	}
	defer near.close()
	st, err := s.stream(ctx)
	if err != nil {
		return row{}, err
	}
	defer st.close()
	return s.scene(ctx, "slow reader", near, func(r *row) {
		sent, body := 0, bytes.Repeat([]byte("s"), piece)
		var err error
		for began := time.Now(); err == nil && sent < lots && time.Since(began) < length; {
			if err = st.send(body); err == nil {
				sent += piece
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.culprit = fmt.Sprintf("sender waits after %s", size(sent))
		case err != nil:
			r.culprit = fmt.Sprintf("sender: %s after %s", short(err), size(sent))
		default:
			r.culprit = "sender sent " + size(sent)
		}
		got, err := st.drain()
		if err != nil {
			r.culprit += fmt.Sprintf("; reader: %s", short(err))
		} else {
			r.culprit += "; reader stays"
		}
		r.note = fmt.Sprintf("%s of %s came when it read", size(got), size(sent))
		if lost := sent - got; lost > sent/100+1<<20 {
			r.note += ", " + size(lost) + " lost"
		}
	}), nil
}

// size is bytes in MiB.
func size(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// stall opens connections that say a byte and wait, and returns how many the server
// has closed so far, and what closes the others.
func (s *server) stall(n int) (made int, closed *atomic.Int64, closeAll func()) {
	closed = new(atomic.Int64)
	var wg sync.WaitGroup
	var conns []net.Conn
	for range n {
		conn, err := net.DialTimeout("unix", s.path, patience)
		if err != nil {
			break
		}
		_, _ = conn.Write([]byte{0}) // it may be closed already
		conns = append(conns, conn)
		wg.Go(func() {
			_, _ = io.Copy(io.Discard, conn)
			closed.Add(1)
		})
	}
	return len(conns), closed, func() {
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
	}
}

// flood is a crowd of connections that never log in: at a server with plenty of
// descriptors, or with few.
func (s *server) flood(ctx context.Context, name string, n int, length time.Duration) (row, error) {
	near, err := s.duo(ctx)
	if err != nil {
		return row{}, err
	}
	defer near.close()
	var release func()
	r := s.scene(ctx, name, near, func(r *row) {
		began := time.Now()
		var made int
		var closed *atomic.Int64
		made, closed, release = s.stall(n)
		<-time.After(time.Until(began.Add(length)))
		r.culprit = fmt.Sprintf("of %d that stall %d connected, %d closed by the server", n, made, closed.Load())
	})
	release()
	began := time.Now()
	for err = s.login(ctx); err != nil && time.Since(began) < 10*time.Second; err = s.login(ctx) {
		<-time.After(10 * time.Millisecond)
	}
	r.note = fmt.Sprintf("login %v after they had gone", time.Since(began).Round(time.Millisecond))
	if err != nil {
		r.note = "no login 10 s after they had gone: " + short(err)
	}
	r.alive = s.alive()
	return r, nil
}

// memory and peak are resident bytes, now and at most.
func (s *server) memory() int64 { return s.status("VmRSS:") }
func (s *server) peak() int64   { return s.status("VmHWM:") }

func (s *server) status(field string) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid)) // it may have ended
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte(field)); ok {
			n, _ := strconv.ParseInt(string(bytes.Fields(v)[0]), 10, 64) // of digits
			return n << 10
		}
	}
	return 0
}

// cpu is the processor time that the process has used.
func (s *server) cpu() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(int32(^s.cmd.Process.Pid<<3|2), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
