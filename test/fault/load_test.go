//go:build fault

package fault_test

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
)

// load is a relayed channel of two keys that carries as much as it can.
type load struct {
	n atomic.Int64 // bytes that have come
}

// load begins the channel, which is cut at the end of the test.
func (p place) load(t testing.TB, name string) *load {
	t.Helper()
	ln, err := p.client(t, "unix").Listen(within(t, 10*time.Second), name)
	must(t, err)
	l := new(load)
	var wg sync.WaitGroup
	conn, err := func() (*channel.Conn, error) {
		wg.Go(func() {
			conn, err := ln.Accept()
			if err != nil {
				t.Errorf("a load: %v", err)
				return
			}
			defer conn.Close()
			buf := make([]byte, 64<<10)
			for {
				n, err := conn.Read(buf)
				l.n.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
		return p.client(t, "unix").Open(within(t, 10*time.Second), name, client.OpenOptions{Direct: client.DirectNever})
	}()
	must(t, err)
	wg.Go(func() { _, _ = io.Copy(conn, zeros{}) })
	t.Cleanup(func() {
		conn.Abort()
		wg.Wait()
	})
	return l
}

// during is how much it carries, in MiB a second.
func (l *load) during(d time.Duration) float64 {
	before, began := l.n.Load(), time.Now()
	<-time.After(d)
	return float64(l.n.Load()-before) / time.Since(began).Seconds() / (1 << 20)
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
