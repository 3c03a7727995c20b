package channel

import (
	"sync"
	"testing"
	"testing/synctest"
)

// TestTurn: one user at a time, no waiter is forgotten, and one that gives up
// takes nobody's turn along.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // who is forgotten deadlocks the bubble
		lock := newTurn()
		users, uses := 0, 0
		over := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 1000 {
					switch {
					case i%2 == 0:
						lock.take()
					case !lock.takeUnless(over, nil):
						return
					}
					if users++; users != 1 {
						t.Errorf("%d users", users)
					}
					if uses++; i == 0 && j == 500 {
						close(over)
					}
					users--
					lock.give()
				}
			})
		}
		wg.Wait()
		if uses < 4*1000 {
			t.Errorf("%d uses", uses)
		}
		if !lock.try() || lock.waiters.Load() != 0 {
			t.Error("not free at the end")
		}
		if lock.takeUnless(nil, over) {
			t.Error("taken twice")
		}
		lock.give()
	})
}
