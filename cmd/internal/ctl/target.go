package ctl

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/shs"
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

// command is a target that is started for each channel: its stdin and stdout
// are the channel, its stderr is ours.
type command struct {
	path string
	args []string // with the command's own name first
	log  io.Writer
}

// exitGrace is how long a process that has closed its stdout may take to end
// before the channel is half-closed. It is there to tell a crash, whose output
// is cut, from an end.
const exitGrace = 200 * time.Millisecond

// serve runs the command.
//
// The process leads a group of its own, so that its children die with it. It is
// killed when the channel is reset or ctx ends; if it dies by a signal the
// channel is reset. Any exit status is a clean end, as for inetd.
func (t command) serve(ctx context.Context, conn duplex) error {
	cmd := exec.Cmd{Path: t.path, Args: t.args, Stderr: t.log, SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
	cmd.Env = os.Environ()
	if c, ok := conn.(interface{ RemoteKey() shs.PublicKey }); ok {
		cmd.Env = append(cmd.Env, "SWITCHBOARD_PEER="+c.RemoteKey().String())
	}
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return errors.Join(err, conn.Abort())
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, conn.Abort())
	}
	kill := func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stop := context.AfterFunc(ctx, kill)

	var wg sync.WaitGroup
	wg.Go(func() {
		if feed(stdin, conn) != nil {
			kill()
		}
	})
	_, copyErr := io.Copy(onlyWriter{conn}, onlyReader{stdout})
	if copyErr != nil {
		kill()
	}
	err := waitEnd(&cmd, conn, &wg)
	stop()
	if crashed(&cmd) || copyErr != nil {
		err = errors.Join(err, conn.Abort())
	} else {
		conn.Close()
	}
	wg.Wait()
	return errors.Join(copyErr, err)
}

// waitEnd waits for the end of a process that has closed its stdout. If it goes
// on for long, the channel is half-closed meanwhile.
func waitEnd(cmd *exec.Cmd, conn duplex, wg *sync.WaitGroup) error {
	ended := make(chan error, 1)
	wg.Go(func() { ended <- cmd.Wait() })
	grace := time.NewTimer(exitGrace)
	defer grace.Stop()
	select {
	case err := <-ended:
		return err
	case <-grace.C:
	}
	halfErr := conn.CloseWrite()
	if halfErr != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return errors.Join(<-ended, halfErr)
}

// feed copies the channel to a process's stdin and closes it at the end. A
// process that reads no more is fed no more, but the channel is read on, for its
// reset must be heard. The error is the channel's.
func feed(stdin io.WriteCloser, conn net.Conn) error {
	defer stdin.Close()
	buf := make([]byte, 32<<10)
	reads := true
	for {
		n, err := conn.Read(buf)
		if n > 0 && reads {
			if _, werr := stdin.Write(buf[:n]); werr != nil {
				reads = false
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// crashed reports whether a process was ended by a signal.
func crashed(cmd *exec.Cmd) bool {
	return cmd.ProcessState == nil || !cmd.ProcessState.Exited()
}
