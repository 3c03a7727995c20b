package shs

import "sync/atomic"

// ioLock is a lock that may be held over I/O: who waits for it does so on a
// channel, in turn. It costs an atomic operation while nobody waits.
type ioLock struct {
	users atomic.Int32  // who has it and who waits
	pass  chan struct{} // 1 slot: from who has it to one who waits
}

func newIOLock() ioLock { return ioLock{pass: make(chan struct{}, 1)} }

func (l *ioLock) lock() {
	if l.users.Add(1) > 1 {
		<-l.pass
	}
}

// tryLock reports whether nobody had it.
func (l *ioLock) tryLock() bool { return l.users.CompareAndSwap(0, 1) }

func (l *ioLock) unlock() {
	if l.users.Add(-1) > 0 {
		l.pass <- struct{}{}
	}
}
