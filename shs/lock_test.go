package shs

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestIOLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newIOLock()
		n, tried := 0, 0
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 100 {
					l.lock()
					n++
					if n%7 == 0 {
						time.Sleep(time.Millisecond) // who waits does so durably
					}
					if l.tryLock() {
						t.Error("got a lock that somebody has")
					}
					l.unlock()
					if l.tryLock() {
						tried++
						l.unlock()
					}
				}
			})
		}
		wg.Wait()
		if n != 1600 {
			t.Errorf("%d times in the lock, want 1600", n)
		}
		if tried == 0 || !l.tryLock() {
			t.Error("a lock that nobody has cannot be had")
		}
	})
}
