package channel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
)

// How an end of a channel finishes what it writes.
const (
	halfCloses = iota // reads to the end, then closes
	closes
	aborts
)

// What befalls a channel.
const (
	nothing = iota
	linkDies
	linkDiesHere // one side of it closes; what is under way may arrive
	relayDies
	sessionDies // the caller's
)

// script is what one end does. Times are in ms of the bubble.
type script struct {
	Writes  []int // sizes
	Pauses  []int // before each write, and before the finish
	Finish  int
	Piece   int // size of a read
	Slow    int // pause after a read
	NoReads bool
}

// attempt is one link: when the callee registers it, and how much later the
// two Moves begin.
type attempt struct{ At, Caller, Callee int }

// pathSchedule is one random run.
type pathSchedule struct {
	Mux      bool // lanes of two sessions, or a pipe
	Pipe     int  // bytes that a link holds
	Ends     [2]script
	Links    []attempt
	Reset    int // of the lanes, behind the end of the caller's Move
	Accident int
	After    int
}

func drawScript(t *rapid.T) script {
	small, large := rapid.IntRange(0, 100), rapid.IntRange(0, 400_000)
	pause := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 5})
	n := rapid.IntRange(0, 4).Draw(t, "writes")
	return script{
		Writes:  rapid.SliceOfN(rapid.OneOf(small, large), n, n).Draw(t, "sizes"),
		Pauses:  rapid.SliceOfN(pause, n+1, n+1).Draw(t, "pauses"),
		Finish:  max(halfCloses, rapid.IntRange(-3, aborts).Draw(t, "finish")),
		Piece:   rapid.SampledFrom([]int{32 << 10, 5000, 333}).Draw(t, "piece"),
		Slow:    rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(t, "slow"),
		NoReads: rapid.IntRange(0, 9).Draw(t, "noReads") == 9,
	}
}

func drawPathSchedule(t *rapid.T) pathSchedule {
	ms := rapid.IntRange(0, 15)
	return pathSchedule{
		Mux:  rapid.Bool().Draw(t, "mux"),
		Pipe: rapid.SampledFrom([]int{64 << 10, 5000, 100}).Draw(t, "pipe"),
		Ends: [2]script{drawScript(t), drawScript(t)},
		Links: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) attempt {
			return attempt{ms.Draw(t, "at"), rapid.IntRange(0, 3).Draw(t, "caller"), rapid.IntRange(0, 3).Draw(t, "callee")}
		}), 1, 2).Draw(t, "links"),
		Reset:    rapid.IntRange(0, 3).Draw(t, "reset"),
		Accident: max(nothing, rapid.IntRange(-4, sessionDies).Draw(t, "accident")),
		After:    ms.Draw(t, "after"),
	}
}

// seen is what came of one end.
type seen struct {
	written int  // bytes that Write has taken
	ended   bool // in order, or so it was asked
	got     []byte
	err     error // of Read
	werr    error // of Write
}

// patternAt is n bytes of what an end writes, from an offset.
func patternAt(side, off, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		at := off + i
		b[i] = byte(at*7 + at>>8*13 + side*101)
	}
	return b
}

// TestPathSchedules: whatever happens, what is read is an exact prefix of what
// was written; the end comes only where the writer has ended and all has been
// read; nobody waits for ever; and where nothing has happened but a move, all
// comes. By command with -rapid.checks=10000 it is 10⁵ schedules.
func TestPathSchedules(t *testing.T) {
	for range 10 {
		rapid.Check(t, func(rt *rapid.T) {
			s := drawPathSchedule(rt)
			var problems []string
			synctest.Test(t, func(t *testing.T) { problems = s.run(t) })
			for _, p := range problems {
				rt.Error(p)
			}
		})
	}
}

func sleep(ms int) { time.Sleep(time.Duration(ms) * time.Millisecond) }

func (s *pathSchedule) run(t *testing.T) []string {
	r := pipeRelay
	if s.Mux {
		r = muxRelay
	}
	e := newEnds(t, r(t))
	var out [2]seen
	var wg sync.WaitGroup
	for i, p := range []*channel.Path{e.caller, e.callee} {
		wg.Go(func() { s.play(p, i, &out[i]) })
	}
	var mu sync.Mutex
	var last [2]*shs.Conn
	wg.Go(func() {
		for _, a := range s.Links {
			sleep(a.At)
			x, y := testnet.PipeSize(s.Pipe)
			la, lb := shake(t, x, y, false)
			mu.Lock()
			last = [2]*shs.Conn{la, lb}
			mu.Unlock()
			s.attempt(t, e, a, la, lb, &wg)
		}
	})
	wg.Go(func() {
		sleep(s.After)
		mu.Lock()
		defer mu.Unlock()
		s.accident(e, last)
	})
	wg.Wait()
	e.wait()
	return s.judge(&out)
}

// attempt moves both ends to a link.
func (s *pathSchedule) attempt(t *testing.T, e *ends, a attempt, la, lb *shs.Conn, wg *sync.WaitGroup) {
	if !e.callee.Register() {
		la.Abort()
		lb.Abort()
		return
	}
	wg.Go(func() {
		sleep(a.Callee)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_ = e.callee.Move(ctx, lb) // its errors are the caller's, or the reader's
	})
	wg.Go(func() {
		sleep(a.Caller)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if e.caller.Move(ctx, la) == nil {
			sleep(s.Reset)
			e.reset()
		}
	})
}

func (s *pathSchedule) accident(e *ends, link [2]*shs.Conn) {
	switch {
	case s.Accident == relayDies:
		e.die()
	case s.Accident == sessionDies:
		e.leave()
	case link[0] == nil:
	case s.Accident == linkDies:
		link[0].NetConn().Close()
		link[1].NetConn().Close()
	case s.Accident == linkDiesHere:
		link[s.After%2].NetConn().Close()
	}
}

// play plays the script of an end.
func (s *pathSchedule) play(p *channel.Path, side int, o *seen) {
	own := &s.Ends[side]
	var reads sync.WaitGroup
	if !own.NoReads {
		reads.Go(func() { own.read(p, o) })
	}
	if s.Ends[1-side].NoReads {
		p.SetWriteDeadline(time.Now().Add(2 * time.Second))
	}
	for i, n := range own.Writes {
		sleep(own.Pauses[i])
		n, o.werr = p.Write(patternAt(side, o.written, n))
		o.written += n
		if o.werr != nil {
			break
		}
	}
	sleep(own.Pauses[len(own.Writes)])
	switch own.Finish {
	case halfCloses:
		o.ended = true // an error may come behind the goodbye
		o.werr = errors.Join(o.werr, p.CloseWrite())
		reads.Wait()
		p.Close()
	case closes:
		o.ended = true
		p.Close()
	case aborts:
		p.Abort()
	}
	reads.Wait()
}

func (c *script) read(p *channel.Path, o *seen) {
	for buf := make([]byte, c.Piece); o.err == nil; {
		var n int
		n, o.err = p.Read(buf)
		o.got = append(o.got, buf[:n]...)
		sleep(c.Slow)
	}
}

// judge compares what both ends have seen.
func (s *pathSchedule) judge(out *[2]seen) (problems []string) {
	for i := range out {
		in, from := &out[i], &out[1-i]
		bad := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("end %d: ", i)+fmt.Sprintf(format, args...))
		}
		if len(in.got) > from.written || !bytes.Equal(in.got, patternAt(1-i, 0, len(in.got))) {
			bad("read %d bytes that are not a prefix of the %d written", len(in.got), from.written)
		}
		if in.err == io.EOF && (!from.ended || len(in.got) != from.written) {
			bad("an end behind %d bytes of %d, ended %v", len(in.got), from.written, from.ended)
		}
		if errors.Is(in.err, channel.ErrHole) {
			bad("a hole between honest ends")
		}
		if s.quiet() && (in.err != io.EOF || in.werr != nil) {
			bad("read %d bytes of %d, then %v; wrote till %v", len(in.got), from.written, in.err, in.werr)
		}
	}
	return problems
}

// quiet reports whether all has to come.
func (s *pathSchedule) quiet() bool {
	for _, c := range s.Ends {
		if c.Finish != halfCloses || c.NoReads {
			return false
		}
	}
	return s.Accident == nothing
}
