//go:build fault

package fault_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// liar is a relay before the real one that changes what it passes on, of the
// connections behind the first. It can, where the mode is plain.
type liar struct {
	path string
	key  shs.PublicKey
	wg   sync.WaitGroup

	mu    sync.Mutex
	turn  int            // connections so far
	flip  [2]int         // place of the byte to flip, out and in; negative: none
	swap  [2][][2][]byte // what to write for what
	count [2]int         // bytes of the last connection
}

func newLiar(t *testing.T, p place) *liar {
	t.Helper()
	l := &liar{path: room(t) + "/s", key: p.key, flip: [2]int{-1, -1}}
	ln, err := net.Listen("unix", l.path)
	must(t, err)
	l.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", p.unix)
			if err != nil {
				conn.Close()
				continue
			}
			l.mu.Lock()
			l.turn++
			first := l.turn == 1
			l.count = [2]int{}
			l.mu.Unlock()
			l.wg.Go(func() { l.pass(0, first, server.(*net.UnixConn), conn.(*net.UnixConn)) })
			l.wg.Go(func() { l.pass(1, first, conn.(*net.UnixConn), server.(*net.UnixConn)) })
		}
	})
	t.Cleanup(func() { ln.Close(); l.wg.Wait() })
	return l
}

// pass passes one direction on.
func (l *liar) pass(dir int, honest bool, to, from *net.UnixConn) {
	buf := make([]byte, 64<<10)
	for at := 0; ; {
		n, err := from.Read(buf)
		part := buf[:n]
		if !honest {
			l.mu.Lock()
			if i := l.flip[dir] - at; i >= 0 && i < n {
				part[i] ^= 1
			}
			for _, s := range l.swap[dir] {
				part = bytes.ReplaceAll(part, s[0], s[1])
			}
			at += n
			l.count[dir] = at
			l.mu.Unlock()
		}
		if _, werr := to.Write(part); err != nil || werr != nil {
			to.CloseWrite()
			if werr != nil || err != io.EOF {
				from.Close()
			}
			return
		}
	}
}

func (l *liar) client(t *testing.T, with func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{Address: shs.Address{Network: "unix", Addr: l.path, Key: l.key}.String(), Key: shs.GenerateKey(), Mode: client.ModePlain, SingleLane: true}
	with(&cfg)
	c, err := client.Dial(within(t, 20*time.Second), cfg)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}
