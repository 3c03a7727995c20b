package ctl

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"
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
		return address{"unix", rest}, nil
	case kind == "tcp":
		if _, port, err := net.SplitHostPort(rest); err != nil || port == "" {
			return nil, usagef("%s: want tcp:HOST:PORT", spec)
		}
		return address{"tcp", rest}, nil
	}
	return nil, usagef("target %q: want tcp:HOST:PORT, unix:PATH or exec:CMD", spec)
}

// address is a target that is dialled for each channel.
type address struct{ network, addr string }

// serve dials the target and copies both ways.
func (t address) serve(ctx context.Context, conn duplex) error {
	d := net.Dialer{Timeout: 10 * time.Second}
	raw, err := d.DialContext(ctx, t.network, t.addr)
	if err != nil {
		return errors.Join(err, conn.Abort())
	}
	there, err := asDuplex(raw)
	if err != nil {
		return errors.Join(err, conn.Abort(), raw.Close())
	}
	return splice(ctx, conn, there)
}
