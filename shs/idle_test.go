package shs

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestIdleBuffers: a Conn over a socket that waits has no buffer, or a small one
// for a part of a frame.
func TestIdleBuffers(t *testing.T) {
	if !rawIO {
		t.Skip("this system has no raw reads")
	}
	for _, mode := range []Mode{Box, Plain} {
		for _, tr := range transports[1:] {
			t.Run(mode.String()+"/"+tr.name, func(t *testing.T) {
				a, b := tr.pipe(t)
				client, server := connect(t, mode, a, b)
				frame, _ := client.out.enc.appendFrame(nil, pattern(1000))
				got := 0
				wait := func(bytes, buffer int) {
					t.Helper()
					begin := time.Now()
					for got != bytes || len(server.in.buf) != buffer {
						server.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
						p, _, err := server.Next()
						got += len(p)
						if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) > time.Minute {
							t.Fatalf("%d bytes of payload, buffer of %d, %v, want %d and %d", got, len(server.in.buf), err, bytes, buffer)
						}
					}
				}
				wait(0, 0)
				a.Write(frame[:3])
				wait(0, smallSize)
				a.Write(frame[3:])
				wait(1000, 0)
				if _, err := client.Write(pattern(100_000)); err != nil {
					t.Fatal(err)
				}
				wait(101_000, 0)
				if client.out.out != nil {
					t.Error("the writer keeps a buffer")
				}
			})
		}
	}
}

// TestIdleMemory logs what an idle connection costs, and bounds it widely: a
// buffer must not be in it.
func TestIdleMemory(t *testing.T) {
	const pairs = 200
	for _, mode := range []Mode{Plain, Box} {
		clientCfg, serverCfg := prepared(mode)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var wg sync.WaitGroup
		var all []*Conn
		for range pairs {
			a, b := transports[2].pipe(t)
			client, server := Client(a, clientCfg), Server(b, serverCfg)
			all = append(all, client, server)
			met := make(chan struct{})
			for _, c := range []*Conn{client, server} {
				wg.Go(func() {
					c.Write(make([]byte, 100))
					c.Read(make([]byte, 100))
					met <- struct{}{}
					c.Next()
				})
			}
			<-met
			<-met
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := func(before, after uint64) int { return (int(after) - int(before)) / len(all) }
		heap := each(before.HeapAlloc, after.HeapAlloc)
		t.Logf("%v: an idle end has %d bytes of heap, in %d objects, and %d of stack", mode,
			heap, each(before.HeapObjects, after.HeapObjects), each(before.StackInuse, after.StackInuse))
		if heap > smallSize {
			t.Errorf("%v: %d bytes of heap, want fewer than %d", mode, heap, smallSize)
		}
		for _, c := range all {
			c.Abort()
		}
		wg.Wait()
	}
}
