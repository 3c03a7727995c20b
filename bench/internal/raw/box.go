package raw

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/bench/internal/drive"
	"github.com/cad2f06c/switchboard/shs"
)

// boxed is one plugin of B: a box stream from caller to callee over TCP on the
// loopback interface, with the handshake and nothing else. The callee writes
// where it listens into a file.
type boxed struct {
	client
	file string
	key  shs.PrivateKey
	prep *shs.Prepared
}

// boxTimeout is for dialling and the handshake.
const boxTimeout = 10 * time.Second

// Box makes a plugin of B; the callee's address is in a file.
func Box(file, _ string) (drive.Client, error) {
	key := shs.NewPrivateKey([32]byte{1}) // of both: nobody is kept out
	return &boxed{client: client{direct: true}, file: file, key: key, prep: shs.Prepare(key)}, nil
}

func (b *boxed) config() *shs.Config {
	return &shs.Config{Key: b.key, Prepared: b.prep, ServerKey: b.key.Public()}
}

func (b *boxed) Listen(_ string, handle func(io.ReadWriteCloser)) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.ln = ln
	b.mu.Unlock()
	b.work.Go(func() { b.accept(ln, handle) })
	return os.WriteFile(b.file, []byte(ln.Addr().String()), 0o600)
}

// accept serves until the listener is closed.
func (b *boxed) accept(ln net.Listener, handle func(io.ReadWriteCloser)) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		conns.Go(func() { b.shake(shs.Server(conn, b.config()), handle) })
	}
}

func (b *boxed) shake(c *shs.Conn, handle func(io.ReadWriteCloser)) {
	ctx, cancel := context.WithTimeout(context.Background(), boxTimeout)
	defer cancel()
	if c.Handshake(ctx) == nil {
		handle(c)
	}
}

func (b *boxed) Open(string) (io.ReadWriteCloser, error) {
	addr, err := os.ReadFile(b.file)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", string(addr), boxTimeout)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), boxTimeout)
	defer cancel()
	c := shs.Client(conn, b.config())
	return c, c.Handshake(ctx)
}
