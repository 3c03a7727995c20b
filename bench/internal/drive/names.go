package drive

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"time"
)

// saw notes when the watch has first told of a name.
func (w *worker) saw(name string) {
	now := time.Now().UnixNano()
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, again := w.seen[name]; !again {
		w.seen[name] = now
	}
}

// sawAll waits until q.N names with the prefix were seen, for q.Seconds at most,
// and says when each was.
func (w *worker) sawAll(q Request) Reply {
	end := time.Now().Add(time.Duration(q.Seconds * float64(time.Second)))
	for {
		w.mu.Lock()
		times := maps.Clone(w.seen)
		w.mu.Unlock()
		maps.DeleteFunc(times, func(name string, _ int64) bool { return !strings.HasPrefix(name, q.Prefix) })
		if len(times) >= q.N || time.Now().After(end) {
			return Reply{N: len(times), Times: times}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// claim claims q.N names one after the other, says when each claim began and how
// long it took, and releases them.
func (w *worker) claim(q Request) (Reply, error) {
	r := Reply{Times: make(map[string]int64, q.N)}
	var took []time.Duration
	for i := range q.N {
		name := fmt.Sprintf("%s%d", q.Prefix, i)
		begun := time.Now()
		if err := w.client.Claim(name); err != nil {
			return r, err
		}
		took = append(took, time.Since(begun))
		r.Times[name] = begun.UnixNano()
		time.Sleep(time.Duration(q.GapUS) * time.Microsecond)
	}
	for name := range r.Times {
		if err := w.client.Release(name); err != nil {
			return r, err
		}
	}
	r.N = len(took)
	r.P50, r.P99 = quantiles(took)
	return r, nil
}

// hold makes q.Conns further clients, 16 at a time, that claim q.Names names
// each and stay until drop. It returns how many are held in all.
func (w *worker) hold(q Request) (Reply, error) {
	begun := time.Now()
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for lot := range errs {
		wg.Go(func() {
			for i := lot; i < q.Conns && errs[lot] == nil; i += len(errs) {
				errs[lot] = w.holdOne(q, i)
			}
		})
	}
	wg.Wait()
	r := Reply{Seconds: time.Since(begun).Seconds()}
	runtime.GC()
	w.mu.Lock()
	defer w.mu.Unlock()
	r.N = len(w.held)
	return r, errors.Join(errs...)
}

func (w *worker) holdOne(q Request, i int) error {
	c, err := w.dial(q.Addr, fmt.Sprintf("%s-%d", q.ID, i))
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.held = append(w.held, c)
	w.mu.Unlock()
	for j := range q.Names {
		if err := c.Claim(fmt.Sprintf("%s%d.n%d", q.Prefix, i, j)); err != nil {
			return err
		}
	}
	return nil
}

// drop closes the clients that are held.
func (w *worker) drop() {
	w.mu.Lock()
	held := w.held
	w.held = nil
	w.mu.Unlock()
	var wg sync.WaitGroup
	for lot := range 64 {
		wg.Go(func() {
			for i := lot; i < len(held); i += 64 {
				held[i].Close()
			}
		})
	}
	wg.Wait()
}

// list makes a list again and again, and says how many names the first one had.
func (w *worker) list(q Request, list func() (int, error)) (Reply, error) {
	n, err := list()
	if err != nil {
		return Reply{}, err
	}
	r, err := together([]func() error{func() error {
		_, err := list()
		return err
	}}, q.Seconds)
	r.N = n
	return r, err
}
