package mux_test

import (
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// An idle session is small, also after a busy time. Both ends are counted,
// with one stream, without the connection below.
func TestIdleMemory(t *testing.T) {
	const pairs = 100
	synctest.Test(t, func(t *testing.T) {
		conns := make([][2]*testnet.Conn, pairs)
		for i := range conns {
			conns[i][0], conns[i][1] = testnet.Pipe()
		}
		before := memory()
		var all []*mux.Session
		for _, c := range conns {
			a, b := mux.Client(c[0], mux.Config{}), mux.Server(c[1], mux.Config{})
			all = append(all, a, b)
			x, y := streams(t, a, b)
			if _, err := x.Write(make([]byte, 200_000)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(y, make([]byte, 200_000)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		each := (memory() - before) / (2 * pairs)
		t.Logf("%d bytes a session, heap and stacks", each)
		if each > 24<<10 {
			t.Errorf("%d bytes a session, heap and stacks", each)
		}
		for _, s := range all {
			s.Abort(nil)
		}
	})
}

func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
