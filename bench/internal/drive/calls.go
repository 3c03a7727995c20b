package drive

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A channel begins with a head of 9 bytes: what the callee is to do, and a
// number. echo: send back each message of so many bytes. sink: read so many
// bytes, then answer with one.
const (
	headLen = 9
	echo    = 'e'
	sink    = 's'

	maxMessage = 1 << 20
)

func head(what byte, n int) []byte {
	return binary.BigEndian.AppendUint64([]byte{what}, uint64(n))
}

// answer is the callee's side of one channel.
func answer(c io.ReadWriteCloser) {
	defer c.Close()
	h := make([]byte, headLen)
	if _, err := io.ReadFull(c, h); err != nil {
		return
	}
	n := binary.BigEndian.Uint64(h[1:])
	switch h[0] {
	case echo:
		msg := make([]byte, min(n, maxMessage))
		for {
			if _, err := io.ReadFull(c, msg); err != nil {
				return
			}
			if _, err := c.Write(msg); err != nil {
				return
			}
		}
	case sink:
		buf := make([]byte, 256<<10)
		for left := int64(n); left > 0; {
			m, err := c.Read(buf)
			left -= int64(m)
			if err != nil {
				return
			}
		}
		if _, err := c.Write(h[:1]); err != nil {
			return
		}
		io.Copy(io.Discard, c) // the caller closes first
	}
}

// echoer is a caller's end of an echo channel.
type echoer struct {
	c       io.ReadWriteCloser
	out, in []byte
	first   []byte // head and message; nil once sent
}

func (w *worker) echoer(name string, size int) (*echoer, error) {
	c, err := w.client.Open(name)
	if err != nil {
		return nil, err
	}
	e := &echoer{c: c, out: make([]byte, size), in: make([]byte, size)}
	e.first = append(head(echo, size), e.out...)
	return e, nil
}

// call is one round trip.
func (e *echoer) call() error {
	msg := e.out
	if e.first != nil {
		msg, e.first = e.first, nil
	}
	if _, err := e.c.Write(msg); err != nil {
		return err
	}
	_, err := io.ReadFull(e.c, e.in)
	return err
}

// rtt makes one call after the other on one channel.
func (w *worker) rtt(q Request) (Reply, error) {
	e, err := w.echoer(q.Name, q.Size)
	if err != nil {
		return Reply{}, err
	}
	defer e.c.Close()
	if _, err := repeat(q.Seconds/5, e.call); err != nil { // warm up
		return Reply{}, err
	}
	return together([]func() error{e.call}, q.Seconds)
}

// conc keeps q.Par calls in flight, each on a channel of its own.
func (w *worker) conc(q Request) (Reply, error) {
	var calls []func() error
	for range max(q.Par, 1) {
		e, err := w.echoer(q.Name, q.Size)
		if err != nil {
			return Reply{}, err
		}
		defer e.c.Close()
		calls = append(calls, e.call)
	}
	return together(calls, q.Seconds)
}

// open makes each call on a new channel, q.Par at a time.
func (w *worker) open(q Request) (Reply, error) {
	one := func() error {
		e, err := w.echoer(q.Name, q.Size)
		if err != nil {
			return err
		}
		err = e.call()
		e.c.Close()
		return err
	}
	return together(slices.Repeat([]func() error{one}, max(q.Par, 1)), q.Seconds)
}

// connrate connects, is greeted and closes, q.Par at a time.
func (w *worker) connrate(q Request) (Reply, error) {
	var n atomic.Int64
	one := func() error {
		c, err := w.dial(q.Addr, fmt.Sprintf("%s-%d", q.ID, n.Add(1)))
		if err != nil {
			return err
		}
		return c.Close()
	}
	return together(slices.Repeat([]func() error{one}, max(q.Par, 1)), q.Seconds)
}

// bulk sends q.N bytes and returns once the callee has read them all.
func (w *worker) bulk(q Request) (Reply, error) {
	begun := time.Now()
	c, err := w.client.Open(q.Name)
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	h := head(sink, q.N)
	if _, err := c.Write(h); err != nil {
		return Reply{}, err
	}
	chunk := make([]byte, max(q.Chunk, 1))
	for left := q.N; left > 0; {
		n, err := c.Write(chunk[:min(len(chunk), left)])
		if err != nil {
			return Reply{}, err
		}
		left -= n
	}
	if _, err := io.ReadFull(c, h[:1]); err != nil {
		return Reply{}, err
	}
	took := time.Since(begun).Seconds()
	return Reply{N: 1, Bytes: int64(q.N), Seconds: took, Rate: float64(q.N) / took}, nil
}

// repeat does f until seconds have passed or it fails, and returns how long each
// took.
func repeat(seconds float64, f func() error) ([]time.Duration, error) {
	var took []time.Duration
	t := time.Now()
	for end := t.Add(time.Duration(seconds * float64(time.Second))); t.Before(end); {
		if err := f(); err != nil {
			return took, err
		}
		u := time.Now()
		took = append(took, u.Sub(t))
		t = u
	}
	return took, nil
}

// together repeats all of calls at once.
func together(calls []func() error, seconds float64) (Reply, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	begun := time.Now()
	for _, call := range calls {
		wg.Go(func() {
			took, err := repeat(seconds, call)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if failed == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	r := Reply{N: len(all), Seconds: time.Since(begun).Seconds()}
	r.Rate = float64(r.N) / r.Seconds
	r.P50, r.P99 = quantiles(all)
	return r, failed
}

// quantiles returns median and 99th percentile in µs. It sorts took.
func quantiles(took []time.Duration) (p50, p99 float64) {
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return us(took[len(took)/2]), us(took[len(took)*99/100])
}
