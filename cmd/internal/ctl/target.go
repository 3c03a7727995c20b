package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// target is what `expose` leads the channels of a name to. serve owns conn and
// closes it; it returns when both are done, or ctx has ended.
type target interface {
	serve(ctx context.Context, conn duplex) error
}

// parseTarget reads tcp:HOST:PORT, unix:PATH or exec:CMD; args are the latter's
// arguments.
func parseTarget(spec string, args []string, log io.Writer) (target, error) {
	kind, rest, ok := strings.Cut(spec, ":")
	switch {
	case !ok || rest == "":
	case kind == "exec":
		path, err := exec.LookPath(rest)
		if err != nil {
			return nil, usagef("%s: %w", spec, err)
		}
		return command{path: path, args: append([]string{rest}, args...), log: log}, nil
	case len(args) > 0:
		return nil, usagef("%s takes no arguments, and there is %q", spec, args[0])
	case kind == "unix":
		return &address{network: "unix", addr: rest}, nil
	case kind == "tcp":
		if _, err := strconv.ParseUint(rest, 10, 16); err == nil {
			rest = net.JoinHostPort("127.0.0.1", rest)
		}
		if _, port, err := net.SplitHostPort(rest); err != nil || port == "" {
			return nil, usagef("%s: want tcp:HOST:PORT or tcp:PORT", spec)
		}
		return &address{network: "tcp", addr: rest}, nil
	}
	return nil, usagef("target %q: want tcp:PORT, tcp:HOST:PORT, unix:PATH or exec:CMD", spec)
}

// address is a target that is dialled for each channel, before that is accepted
// if --max has room: who calls is told then that the target is not there.
type address struct {
	network, addr string
	most          int         // connections to have at once
	report        func(error) // what the owner is told of a target that is not there

	mu    sync.Mutex
	busy  int              // connections that there are, or are being made
	ready map[string]ready // for channels that are being accepted, by id
}

// ready is a connection that waits for its channel.
type ready struct {
	conn  net.Conn
	timer *time.Timer
}

// dialFor is how long a target may take to answer; readyFor how long a connection
// waits for its channel, which may come to nothing.
const (
	dialFor  = 5 * time.Second
	readyFor = 10 * time.Second
)

// admit makes the connection for a channel that is offered.
func (t *address) admit(ctx context.Context, o client.Offer) error {
	t.mu.Lock()
	room := t.busy < t.most
	if room {
		t.busy++
	}
	t.mu.Unlock()
	if !room {
		return nil // it waits for its turn
	}
	raw, err := t.dial(ctx)
	if err != nil {
		t.leave()
		t.report(err)
		return fmt.Errorf("cannot reach its target: %s", dialText(err))
	}
	id := o.ID.String()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ready == nil {
		t.ready = make(map[string]ready)
	}
	t.ready[id] = ready{raw, time.AfterFunc(readyFor, func() {
		if raw := t.take(id); raw != nil {
			raw.Close()
			t.leave()
		}
	})}
	return nil
}

// dialText is what a stranger is told of a failed dial: not where to.
func dialText(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "it does not answer"
	}
	return "its address is not found"
}

func (t *address) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: dialFor}
	return d.DialContext(ctx, t.network, t.addr)
}

// take returns the connection that waits for a channel, or nil.
func (t *address) take(id string) net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.ready[id]
	if !ok {
		return nil
	}
	r.timer.Stop()
	delete(t.ready, id)
	return r.conn
}

func (t *address) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
}

// serve copies both ways between a channel and its connection.
func (t *address) serve(ctx context.Context, conn duplex) error {
	var raw net.Conn
	if c, ok := conn.(interface{ Info() client.Offer }); ok {
		raw = t.take(c.Info().ID.String())
	}
	if raw == nil {
		t.mu.Lock()
		t.busy++
		t.mu.Unlock()
	}
	defer t.leave()
	if raw == nil {
		var err error
		if raw, err = t.dial(ctx); err != nil {
			return errors.Join(err, conn.Abort())
		}
	}
	there, err := asDuplex(raw)
	if err != nil {
		return errors.Join(err, conn.Abort(), raw.Close())
	}
	return splice(ctx, conn, there)
}
