package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// command is a target that is started for each channel: its stdin and stdout
// are the channel, its stderr is ours.
type command struct {
	path string
	args []string // with the command's own name first
	log  io.Writer
}

const (
	// exitGrace is how long a process that has closed its stdout may take to
	// end before the channel is half-closed. It is there to tell a crash, whose
	// output is cut, from an end.
	exitGrace = 200 * time.Millisecond

	// linger is how long a caller may go on sending to a process that has
	// ended. Without it a reset would overtake the process's last words.
	linger = 2 * time.Second
)

// serve runs the command.
//
// The process leads a group of its own, so that its children die with it. It is
// killed when the channel is reset or ctx ends. Only exit status 0 is a clean end:
// with another, or a signal, the channel is reset.
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
	p := &process{cmd: &cmd}
	defer context.AfterFunc(ctx, func() { p.kill(); conn.Abort() })()

	var wg sync.WaitGroup
	cut := make(chan error, 1) // the channel's error, for which the command is killed
	wg.Go(func() {
		if err := feed(stdin, conn); err != nil {
			cut <- err
			p.kill()
		}
	})
	_, copyErr := io.Copy(onlyWriter{conn}, onlyReader{stdout})
	if copyErr != nil {
		p.kill()
	}
	err := p.end(conn)
	if err != nil {
		err = fmt.Errorf("%s: %w", t.args[0], err)
	}
	if copyErr != nil || p.failed() {
		why := cmp.Or(copyErr, err)
		pause := time.NewTimer(0)
		if copyErr == nil { // the reset would overtake its last words
			pause.Reset(exitGrace)
		}
		select {
		case why = <-cut: // before our own abort makes one
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
		conn.Abort()
		wg.Wait()
		return ended{why}
	}
	err = errors.Join(err, conn.CloseWrite())
	timer := time.AfterFunc(linger, func() { conn.Close() })
	wg.Wait()
	timer.Stop()
	return errors.Join(err, conn.Close())
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

// process is a running command with its group. Safe for concurrent use.
type process struct {
	cmd *exec.Cmd

	mu    sync.Mutex
	ended bool // waited for: its id may be another's by now
}

// kill ends the process and its children, unless it has ended.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// end waits for the end of a process that has closed its stdout. If it goes on
// for long, the channel is half-closed meanwhile.
func (p *process) end(conn duplex) error {
	grace := time.AfterFunc(exitGrace, func() {
		if conn.CloseWrite() != nil {
			p.kill()
		}
	})
	defer grace.Stop()
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	return err
}

// failed reports whether the process has ended otherwise than with exit status 0.
// It is for after end.
func (p *process) failed() bool { return p.cmd.ProcessState == nil || !p.cmd.ProcessState.Success() }
