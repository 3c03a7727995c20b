package drive

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Mover is a channel that may move to a direct link.
type Mover interface {
	io.ReadWriteCloser
	// Moved says whether it has, in both directions.
	Moved() bool
}

const (
	moveTimeout = 5 * time.Second       // for a channel to move
	stallAfter  = 20 * time.Millisecond // that a channel is watched on after its move
	stallFor    = 60 * time.Millisecond // that one is watched which does not move
)

var errStays = errors.New("the channel does not move")

// first opens channels, one after the other, and measures from the begin of Open
// to the answer to the first call that went over the direct link.
func (w *worker) first(q Request) (Reply, error) {
	one := func() error {
		e, err := w.echoer(q.Name, q.Size)
		if err != nil {
			return err
		}
		defer e.c.Close()
		m, ok := e.c.(Mover)
		if !ok {
			return errStays
		}
		for end := time.Now().Add(moveTimeout); !m.Moved(); {
			if time.Now().After(end) {
				return errStays
			}
			if err := e.call(); err != nil {
				return err
			}
		}
		return e.call()
	}
	return together([]func() error{one}, q.Seconds)
}

// stall opens q.N channels, one after the other, that are echoed as fast as they
// can be, and measures the longest pause between two reads of each: until a
// little after it has moved, or for as long if it does not.
func (w *worker) stall(q Request) (Reply, error) {
	var all []time.Duration
	for range q.N {
		longest, err := w.stallOnce(q)
		if err != nil {
			return Reply{}, err
		}
		all = append(all, longest)
	}
	r := Reply{N: len(all)}
	r.P50, r.P99 = quantiles(all)
	return r, nil
}

func (w *worker) stallOnce(q Request) (longest time.Duration, err error) {
	c, err := w.client.Open(q.Name)
	if err != nil {
		return 0, err
	}
	if _, err := c.Write(head(echo, q.Chunk)); err != nil {
		c.Close()
		return 0, err
	}
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		chunk := make([]byte, q.Chunk)
		for !over.Load() {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	})
	longest, err = watch(c, q.Moves)
	over.Store(true)
	c.Close() // wakes the writer
	wg.Wait()
	return longest, err
}

// watch reads, and returns the longest pause but the one before the first byte.
func watch(c io.ReadWriteCloser, moves bool) (longest time.Duration, err error) {
	m, _ := c.(Mover)
	buf := make([]byte, 256<<10)
	if _, err := c.Read(buf); err != nil {
		return 0, err
	}
	last := time.Now()
	end := last.Add(stallFor)
	if moves {
		end = last.Add(moveTimeout)
	}
	for seen := !moves; last.Before(end); {
		if _, err := c.Read(buf); err != nil {
			return longest, err
		}
		now := time.Now()
		longest = max(longest, now.Sub(last))
		last = now
		if !seen && m != nil && m.Moved() {
			seen = true
			end = now.Add(stallAfter)
		}
		if !seen && !now.Before(end) {
			return longest, errStays
		}
	}
	return longest, nil
}
