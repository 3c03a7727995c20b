package raw

import (
	"bufio"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cad2f06c/switchboard/bench/internal/drive"
)

// client is one plugin on R, or with direct on D.
type client struct {
	socket string // the relay's; with direct the callee's
	direct bool
	own    string // where the callee's channels arrive
	work   sync.WaitGroup

	mu   sync.Mutex // a call and its answer
	conn net.Conn
	in   *bufio.Reader
	ln   net.Listener
}

// Dial connects a plugin to the relay at a socket, and is greeted.
func Dial(socket, id string) (drive.Client, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	c := &client{
		socket: socket,
		own:    filepath.Join(filepath.Dir(socket), id+".callee"),
		conn:   conn,
		in:     bufio.NewReaderSize(conn, 512),
	}
	if err := c.done(c.ask("hello")); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// Direct makes a plugin of D: a callee listens at socket, a caller dials it.
func Direct(socket, _ string) (drive.Client, error) {
	return &client{socket: socket, own: socket, direct: true}, nil
}

func (c *client) ask(call string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return "", errors.ErrUnsupported
	}
	if err := send(c.conn, call); err != nil {
		return "", err
	}
	return receive(c.in)
}

// done takes an answer that says no more than that a call was carried out.
func (c *client) done(answer string, err error) error {
	if err == nil && answer != "ok" {
		return errors.New("raw: " + answer)
	}
	return err
}

func (c *client) Listen(name string, handle func(io.ReadWriteCloser)) error {
	ln, err := net.Listen("unix", c.own)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.ln = ln
	c.mu.Unlock()
	c.work.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c.work.Go(func() { handle(conn) })
		}
	})
	if c.direct {
		return nil
	}
	return c.done(c.ask("claim " + name + " " + c.own))
}

func (c *client) Open(name string) (io.ReadWriteCloser, error) {
	conn, err := net.Dial("unix", c.socket)
	if err != nil || c.direct {
		return conn, err
	}
	if err := send(conn, "open "+name); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *client) Claim(name string) error   { return c.done(c.ask("claim " + name)) }
func (c *client) Release(name string) error { return c.done(c.ask("release " + name)) }

func (c *client) List() (int, error) {
	names, err := c.ask("list")
	return strings.Count(names, "\n"), err
}

// Entries is List: R says nothing else of a name.
func (c *client) Entries() (int, error) { return c.List() }

func (c *client) Watch(seen func(string)) error {
	if c.direct {
		return errors.ErrUnsupported
	}
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	if err := send(conn, "watch"); err != nil {
		conn.Close()
		return err
	}
	if err := c.done(receive(in)); err != nil {
		conn.Close()
		return err
	}
	c.work.Go(func() { // until the process ends
		defer conn.Close()
		for {
			name, err := receive(in)
			if err != nil {
				return
			}
			seen(name)
		}
	})
	return nil
}

func (c *client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	if c.ln != nil {
		errs = append(errs, c.ln.Close())
	}
	if c.conn != nil {
		errs = append(errs, c.conn.Close())
	}
	return errors.Join(errs...)
}
