package channel

import (
	"io"
	"sync"
	"testing"
	"testing/synctest"
)

// TestResumerEnded: who waits for bytes hears that there are none to come.
func TestResumerEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResumer(MinWindow, func(func()) {}, nil)
		read := make(chan error, 1)
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			_, err := r.Read(make([]byte, 1))
			read <- err
		})
		synctest.Wait()
		r.ended(false)
		synctest.Wait()
		select {
		case err := <-read:
			if err != io.EOF {
				t.Errorf("got %v, want EOF", err)
			}
		default:
			t.Error("the reader still waits")
			r.Abort()
		}
	})
}
