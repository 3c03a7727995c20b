package shs

import (
	"math"
	"sync/atomic"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// bulkLasts is how many small reads and writes after a large one are taken for part
// of the same bulk: what comes back of it.
const bulkLasts = 64

// monitor decides which calls of a connection the scheduler is told of.
type monitor struct {
	least int          // bytes of a large one
	bulk  atomic.Int32 // calls that are still taken for part of bulk
}

func newMonitor() *monitor { return &monitor{least: math.MaxInt} }

// calls are for n bytes.
func (m *monitor) calls(n int) sock.Calls {
	switch {
	case n >= m.least:
		if m.bulk.Load() != bulkLasts {
			m.bulk.Store(bulkLasts)
		}
		return true
	case m.bulk.Load() > 0:
		m.bulk.Add(-1)
		return true
	}
	return false
}

// Unmonitor has reads and writes of a socket spare the Go runtime's monitor, which
// wakes whenever bytes have found the process idle, if they are least bytes or more
// or follow such; of a read that is what the one before it brought. With 0 it takes a
// quarter off the processor time of a small message, in a process that many of them
// keep awake; where one at a time is waited for, the processor sleeps deeper and
// wakes later: there, 16 KiB are better, and take a quarter off bulk. It is for
// programs whose goroutines are all brief: where one computes for long without a
// system call, others may wait as long for their turn. It is to be called after the
// handshake and before the first Read or Write. Without effect but on Linux, and on
// what is no socket.
func (c *Conn) Unmonitor(least int) {
	if c.shaken.Load() {
		m := &monitor{least: least}
		c.in.monitor, c.out.monitor = m, m
	}
}
