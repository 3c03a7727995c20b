package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/bench/internal/drive"
)

const (
	orderTimeout = 2 * time.Minute // for one answer
	endTimeout   = 5 * time.Second // for a process to end when told to
)

// child is a process of the bench: this program with another command.
type child struct {
	cmd    *exec.Cmd
	server bool
	in     io.WriteCloser
	out    *bufio.Reader
	pipe   *os.File      // that out reads
	gone   chan struct{} // closed when the process has ended
	work   sync.WaitGroup
}

// start runs this program with args. Its standard error is ours.
func start(args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, args...), server: args[0] == "server", gone: make(chan struct{})}
	c.cmd.Stderr = os.Stderr
	endWithParent(c.cmd)
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// A pipe of our own: Wait would close one of the command's under its reader.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout = w
	c.pipe, c.out = r, bufio.NewReaderSize(r, 64<<10)
	err = c.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	c.work.Go(func() {
		c.cmd.Wait()
		close(c.gone)
	})
	return c, nil
}

// line reads a line. A process that says nothing for orderTimeout is killed.
func (c *child) line() (string, error) {
	watchdog := time.AfterFunc(orderTimeout, func() { c.cmd.Process.Kill() })
	s, err := c.out.ReadString('\n')
	if !watchdog.Stop() {
		err = fmt.Errorf("no answer in %v", orderTimeout)
	}
	return strings.TrimSuffix(s, "\n"), err
}

// do gives a worker an order and waits for the answer.
func (c *child) do(q drive.Request) (r drive.Reply, err error) {
	b, err := json.Marshal(q)
	if err != nil {
		return r, err
	}
	if _, err := c.in.Write(append(b, '\n')); err != nil {
		return r, fmt.Errorf("%s: %w", q.Op, err)
	}
	s, err := c.line()
	if err == nil {
		err = json.Unmarshal([]byte(s), &r)
	}
	if err == nil && r.Err != "" {
		err = errors.New(r.Err)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", q.Op, err)
	}
	return r, err
}

// ready waits for a server to say that it may be dialled, and where.
func (c *child) ready() (addr string, err error) {
	for {
		s, err := c.line()
		if addr, ok := strings.CutPrefix(s, "READY "); ok {
			return addr, nil
		}
		if err != nil {
			return "", fmt.Errorf("the server ended before it was ready: %w", err)
		}
	}
}

// end ends the process, a worker by the end of its input and a server by SIGTERM,
// and waits for it.
func (c *child) end() {
	c.in.Close()
	if c.server {
		c.cmd.Process.Signal(syscall.SIGTERM)
	}
	last := time.AfterFunc(endTimeout, func() { c.cmd.Process.Kill() })
	<-c.gone
	last.Stop()
	c.work.Wait()
	c.pipe.Close()
}

func (c *child) pid() int { return c.cmd.Process.Pid }
