//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// patience is how long a login or a round may take before it counts as none.
const patience = 3 * time.Second

// login connects and logs in as a newcomer, and leaves.
func (s *server) login(ctx context.Context) error {
	if s.kind != ours {
		c, err := dialDBus(s.path, patience)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	c, err := s.client(ctx, nil)
	if err == nil {
		err = c.Close()
	}
	return err
}

// client is a client of ours. While somebody else has the turn, if there is one, it
// reads nothing from its socket.
func (s *server) client(ctx context.Context, stopped turn) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cfg := client.Config{Address: s.key, Key: shs.GenerateKey(), NoReconnect: true, Direct: client.DirectNever}
	if stopped != nil {
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return stoppable{conn, stopped}, err
		}
	}
	return client.Dial(ctx, cfg)
}

// turn is one thing that one at a time may have.
type turn chan struct{}

func (t turn) take() { t <- struct{}{} }
func (t turn) give() { <-t }

// stoppable is a connection that reads while nobody else has the turn.
type stoppable struct {
	net.Conn
	stopped turn
}

func (s stoppable) Read(p []byte) (int, error) {
	s.stopped.take()
	s.stopped.give()
	return s.Conn.Read(p)
}

// duo is two peers that have no part in what goes on.
type duo struct {
	round func() error // there and back
	close func()
}

// duo begins them.
func (s *server) duo(ctx context.Context) (*duo, error) {
	if s.kind == ours {
		caller, callee, closeAll, err := s.channel(ctx, "org.example.near", nil)
		if err != nil {
			return nil, err
		}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(callee, callee) })
		buf := make([]byte, 100)
		return &duo{func() error {
			_ = caller.SetDeadline(time.Now().Add(patience)) // an ended one says so below
			if _, err := caller.Write(buf); err != nil {
				return err
			}
			_, err := io.ReadFull(caller, buf)
			return err
		}, func() { closeAll(); wg.Wait() }}, nil
	}
	a, err := dialDBus(s.path, patience)
	if err != nil {
		return nil, err
	}
	b, err := dialDBus(s.path, patience)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.echo() })
	return &duo{func() error { return a.ask(b.name) }, func() { a.Close(); b.Close(); wg.Wait() }}, nil
}

// echo answers every call.
func (c *dbusConn) echo() error {
	for {
		m, err := readMessage(c.in)
		if err != nil {
			return err
		}
		if m.kind == isCall {
			if err := c.send(&message{kind: isReturn, dest: m.sender, reply: m.serial}); err != nil {
				return err
			}
		}
	}
}

// ask calls a peer and waits for its answer.
func (c *dbusConn) ask(peer string) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	m := c.to(peer, make([]byte, 100))
	m.flags = 0
	if err := c.send(m); err != nil {
		return err
	}
	for {
		got, err := readMessage(c.in)
		switch {
		case err != nil:
			return err
		case got.reply == c.serial && got.kind == isError:
			return errors.New(got.fault)
		case got.reply == c.serial:
			return nil
		}
	}
}

// channel is one of ours, relayed, between two fresh peers, of which the callee may
// be stopped.
func (s *server) channel(ctx context.Context, name string, stopped turn) (caller, callee *channel.Conn, closeAll func(), err error) {
	a, err := s.client(ctx, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	b, err := s.client(ctx, stopped)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ln, err := b.Listen(ctx, name)
	if err != nil {
		return nil, nil, nil, err
	}
	var wg sync.WaitGroup
	var taken net.Conn
	wg.Go(func() { taken, _ = ln.Accept() })
	caller, err = a.Open(ctx, name, client.OpenOptions{})
	if err != nil {
		b.Close()
		return nil, nil, nil, errors.Join(err, a.Close())
	}
	wg.Wait()
	return caller, taken.(*channel.Conn), func() { a.Close(); b.Close() }, nil
}

// stream is a sender and a receiver that takes nothing until it is told to.
type stream struct {
	send  func([]byte) error          // waits for as long as patience
	drain func() (got int, err error) // all that comes within patience of the last
	close func()
}

// stream begins them.
func (s *server) stream(ctx context.Context) (*stream, error) {
	if s.kind == ours {
		stopped := make(turn, 1)
		caller, callee, closeAll, err := s.channel(ctx, "org.example.slow", stopped)
		if err != nil {
			return nil, err
		}
		stopped.take()
		goOn := sync.OnceFunc(stopped.give)
		return &stream{func(b []byte) error {
			_ = caller.SetWriteDeadline(time.Now().Add(patience)) // an ended one says so below
			_, err := caller.Write(b)
			return err
		}, func() (int, error) { goOn(); return drain(callee, callee) }, func() { goOn(); closeAll() }}, nil
	}
	a, err := dialDBus(s.path, patience)
	if err != nil {
		return nil, err
	}
	b, err := dialDBus(s.path, patience)
	if err != nil {
		return nil, err
	}
	return &stream{func(body []byte) error {
		if err := a.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		return a.send(a.to(b.name, body))
	}, func() (int, error) { return drain(b, b.in) }, func() { a.Close(); b.Close() }}, nil
}

// drain reads what is there. The end of patience is no error: then nothing more
// came, and the connection stands.
func drain(conn net.Conn, r io.Reader) (got int, err error) {
	buf := make([]byte, 1<<20)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience / 3)) // an ended one says so below
		n, err := r.Read(buf)
		got += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}
