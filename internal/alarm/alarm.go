// Package alarm has timers that cost a process nothing while they are pending.
//
// A timer of the Go runtime, however late it is due, has every wait of an idle
// process arm a timer of the kernel, and take it back: on a virtual machine 1 to 3 µs
// for each message that the process has waited for. A Clock has one timer of the
// kernel for all of its alarms (on Linux a timerfd), which stays armed meanwhile.
package alarm

import (
	"container/heap"
	"net"
	"sync"
	"time"
)

// Clock has alarms. It opens a descriptor with the first of them, and keeps that until
// Close. Where there is none to be had, its alarms are timers of the runtime, and Close
// does not wait for their calls. All of it is safe for concurrent use.
type Clock struct {
	wg sync.WaitGroup // the goroutine that waits

	mu     sync.Mutex
	due    queue
	wakes  waker     // nil: not opened yet, or there is none
	at     time.Time // when it wakes; zero: it is not armed
	none   bool      // there is none to be had
	closed bool
}

// Alarm is like a time.Timer that calls a function.
type Alarm struct {
	c     *Clock
	f     func()
	at    time.Time   // when it is due
	index int         // in c.due; -1: it is not pending
	timer *time.Timer // instead, where the Clock has no waker
}

// waker waits for a moment.
type waker interface {
	// arm sets or moves the moment. It does not wait.
	arm(d time.Duration) error
	// wait returns when the moment has come, or with an error after close.
	wait() error
	close() error
}

// AfterFunc has f called once, when d has passed. f must not wait, since all alarms of
// the Clock are called by one goroutine, and must not panic. After Close it is never
// called.
func (c *Clock) AfterFunc(d time.Duration, f func()) *Alarm {
	a := &Alarm{c: c, f: f, index: -1}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
	case c.openLocked():
		c.setLocked(a, d)
	default:
		a.timer = time.AfterFunc(d, a.call)
	}
	return a
}

// Timer is what an Alarm and a time.Timer have in common.
type Timer = interface {
	Reset(d time.Duration) bool
	Stop() bool
}

// For returns AfterFunc for who serves conn, or the runtime's if that is no socket: then
// nobody waits in the kernel, and it costs nothing either.
func (c *Clock) For(conn net.Conn) func(d time.Duration, f func()) Timer {
	switch conn.(type) {
	case *net.UnixConn, *net.TCPConn:
		return func(d time.Duration, f func()) Timer { return c.AfterFunc(d, f) }
	}
	return func(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
}

// Reset has the Alarm call its function when d has passed, instead of before. It
// reports whether that was pending.
func (a *Alarm) Reset(d time.Duration) bool {
	c := a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.timer != nil {
		return a.timer.Reset(d)
	}
	pending := a.stopLocked()
	if !c.closed {
		c.setLocked(a, d)
	}
	return pending
}

// Stop takes the alarm back, and reports whether it was pending. It does not wait for a
// call under way.
func (a *Alarm) Stop() bool {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if a.timer != nil {
		return a.timer.Stop()
	}
	return a.stopLocked()
}

// call is f as a timer of the runtime calls it.
func (a *Alarm) call() {
	a.c.mu.Lock()
	closed := a.c.closed
	a.c.mu.Unlock()
	if !closed {
		a.f()
	}
}

func (a *Alarm) stopLocked() (pending bool) {
	if a.index < 0 {
		return false
	}
	heap.Remove(&a.c.due, a.index)
	return true
}

// Close ends all alarms, and waits for a call under way: none may close its Clock.
func (c *Clock) Close() {
	c.mu.Lock()
	if !c.closed && c.wakes != nil {
		c.wakes.close()
	}
	c.closed = true
	for _, a := range c.due {
		a.index = -1
	}
	c.due = nil
	c.mu.Unlock()
	c.wg.Wait()
}

// openLocked reports whether there is a waker.
func (c *Clock) openLocked() bool {
	if c.wakes != nil || c.none {
		return c.wakes != nil
	}
	w, err := newWaker()
	if err != nil {
		c.none = true
		return false
	}
	c.wakes = w
	c.wg.Go(c.run)
	return true
}

func (c *Clock) setLocked(a *Alarm, d time.Duration) {
	a.at = time.Now().Add(d)
	heap.Push(&c.due, a)
	c.armLocked()
}

// armLocked arms the waker for the first alarm. One that is armed for an earlier moment
// is left alone: it finds nothing, and is armed anew.
func (c *Clock) armLocked() {
	if len(c.due) == 0 || !c.at.IsZero() && !c.due[0].at.Before(c.at) {
		return
	}
	c.at = c.due[0].at
	// It fails for a descriptor that is closed, and then the Clock is over.
	_ = c.wakes.arm(max(time.Until(c.at), 1))
}

// run calls what is due.
func (c *Clock) run() {
	for c.wakes.wait() == nil {
		c.mu.Lock()
		c.at = time.Time{}
		for len(c.due) > 0 && !c.due[0].at.After(time.Now()) {
			a := heap.Pop(&c.due).(*Alarm)
			c.mu.Unlock()
			a.f()
			c.mu.Lock()
		}
		c.armLocked()
		c.mu.Unlock()
	}
}

// queue is a heap of pending alarms.
type queue []*Alarm

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	a := x.(*Alarm)
	a.index = len(*q)
	*q = append(*q, a)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	a.index = -1
	return a
}
