// Package interrupt lets commands stop gracefully when they are asked to, and at
// once when they are asked again.
package interrupt

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Context returns a context that ends with the first SIGINT or SIGTERM. Before it
// ends, both signals have got their default effect back: so the next one ends the
// process, however early it comes. The caller calls stop in the end.
func Context() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	})
	return ctx, func() { cancel(); wg.Wait() }
}
