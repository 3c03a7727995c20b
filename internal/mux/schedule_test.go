package mux_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// How an end of a stream finishes what it writes.
const (
	staysOpen = iota
	halfCloses
	closes
	aborts
	closesTwice // CloseWrite, then Close at once
	halfClosesThenAborts
	finishes
)

// What befalls the session under the streams.
const (
	nothing = iota
	cutAtoB
	cutBtoA
	closeA
	abortA
	closeB
	accidents
)

// Whether Reads read the connection themselves.
const (
	noLead = iota
	leads
	alwaysLeads // without having shown that they come back quickly
)

// end is the script of one end of one stream. Times are in ms of the bubble.
type end struct {
	Writes  []int // sizes
	Pauses  []int // before each write, and before the finish
	Finish  int
	Piece   int // size of a read
	Slow    int // pause after a read
	NoReads bool
}

// schedule is one random run.
type schedule struct {
	Pipe     int  // bytes that the connection holds
	Room     int  // bytes that it takes at once without waiting; 0: it always waits
	Relayed  bool // through two more sessions and a Splice
	Lead     int  // noLead, leads, alwaysLeads
	Streams  [][2]end
	Accident int
	After    int // ms, or for a cut bytes
}

func drawEnd(t *rapid.T) end {
	small, large := rapid.IntRange(0, 100), rapid.IntRange(0, 150_000)
	pause := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 5})
	n := rapid.IntRange(0, 4).Draw(t, "writes")
	return end{
		Writes:  rapid.SliceOfN(rapid.OneOf(small, large), n, n).Draw(t, "sizes"),
		Pauses:  rapid.SliceOfN(pause, n+1, n+1).Draw(t, "pauses"),
		Finish:  rapid.IntRange(0, finishes-1).Draw(t, "finish"),
		Piece:   rapid.SampledFrom([]int{1 << 10, 32 << 10, 333}).Draw(t, "piece"),
		Slow:    pause.Draw(t, "slow"),
		NoReads: rapid.IntRange(0, 5).Draw(t, "noReads") == 0,
	}
}

func drawSchedule(t *rapid.T) schedule {
	p := schedule{
		Pipe:     rapid.SampledFrom([]int{100, 5000, 64 << 10}).Draw(t, "pipe"),
		Room:     rapid.SampledFrom([]int{0, 77, 3000, 1 << 20}).Draw(t, "room"),
		Relayed:  rapid.Bool().Draw(t, "relayed"),
		Lead:     rapid.IntRange(noLead, alwaysLeads).Draw(t, "lead"),
		Accident: max(nothing, rapid.IntRange(-4, accidents-1).Draw(t, "accident")),
	}
	switch p.Accident {
	case cutAtoB, cutBtoA:
		p.After = rapid.IntRange(0, 200_000).Draw(t, "after bytes")
	default:
		p.After = rapid.IntRange(0, 20).Draw(t, "after ms")
	}
	for range rapid.IntRange(1, 3).Draw(t, "streams") {
		p.Streams = append(p.Streams, [2]end{drawEnd(t), drawEnd(t)})
	}
	return p
}

// outcome is what one end has seen.
type outcome struct {
	written   int  // bytes that Write has taken
	ended     bool // FIN was asked for and promised
	delivered int
	err       error // of Read
	wrong     bool  // delivered bytes differ from those written
}

// pattern is the byte at an offset of what an end of a stream writes.
func pattern(stream, side, off int) byte {
	return byte(off*7 + off>>8*13 + stream*31 + side*101)
}

// F33: whatever happens, bytes delivered are an exact prefix of those written;
// the end of file comes only if the writer ended in order and all has been
// delivered. By command with -rapid.checks=10000 it is 10⁵ schedules.
func TestSchedules(t *testing.T) {
	for range 10 {
		rapid.Check(t, func(rt *rapid.T) {
			p := drawSchedule(rt)
			var problems []string
			synctest.Test(t, func(t *testing.T) { problems = p.run(t) })
			for _, s := range problems {
				rt.Error(s)
			}
		})
	}
}

// sessions makes two that are connected.
func (p *schedule) sessions(accident bool) (a, b *mux.Session) {
	ca, cb := testnet.PipeSize(p.Pipe)
	var na, nb net.Conn = ca, cb
	switch {
	case accident && p.Accident == cutAtoB:
		na = testnet.Cut(ca, int64(p.After))
	case accident && p.Accident == cutBtoA:
		nb = testnet.Cut(cb, int64(p.After))
	case p.Room > 0:
		na, nb = &tryConn{Conn: ca, room: p.Room}, &tryConn{Conn: cb, room: p.Room}
	}
	quiet := mux.Config{KeepAlive: -1, DeadAfter: -1, Lead: p.Lead != noLead}
	client, server := quiet, quiet
	client.Window = 1 << 20
	a, b = mux.Client(na, client), mux.Server(nb, server)
	if p.Lead == alwaysLeads {
		mux.LeadAlways(a)
		mux.LeadAlways(b)
	}
	return a, b
}

// path is the sessions between the ends; the first and the last are theirs.
func (p *schedule) path() []*mux.Session {
	a, b := p.sessions(true)
	if !p.Relayed {
		return []*mux.Session{a, b}
	}
	callee, server := p.sessions(false)
	return []*mux.Session{a, b, server, callee}
}

// connect opens a stream from the first to the last of the path.
func connect(t *testing.T, path []*mux.Session) (ends [2]*mux.Stream, err error) {
	var all []*mux.Stream
	for i := 0; i < len(path); i += 2 {
		x, err := path[i].Open(t.Context())
		if err != nil {
			return ends, err
		}
		y, err := path[i+1].Accept(t.Context())
		if err != nil {
			return ends, err
		}
		all = append(all, x, y)
	}
	if len(all) == 4 {
		j := &mux.Splice{Over: func(_ *mux.Stream, err error) {
			if err != nil {
				all[1].Abort()
				all[2].Abort()
			}
		}}
		j.Join(all[1], all[2])
	}
	return [2]*mux.Stream{all[0], all[len(all)-1]}, nil
}

func (p *schedule) run(t *testing.T) (problems []string) {
	path := p.path()
	a, b := path[0], path[len(path)-1]
	var wg sync.WaitGroup
	results := make([][2]outcome, len(p.Streams))
	for k := range p.Streams {
		ends, err := connect(t, path)
		if err != nil {
			break // the accident has happened
		}
		for i := range ends {
			wg.Go(func() { p.Streams[k][i].play(ends[i], k, i, &results[k][i]) })
		}
	}
	switch after := time.Duration(p.After) * time.Millisecond; p.Accident {
	case closeA:
		time.AfterFunc(after, func() { a.Close() })
	case abortA:
		time.AfterFunc(after, func() { a.Abort(nil) })
	case closeB:
		time.AfterFunc(after, func() { b.Close() })
	}
	time.Sleep(time.Minute) // for whoever waits now, nothing will come
	problems = p.books(path)
	for _, s := range path {
		s.Abort(nil)
	}
	wg.Wait()
	for k := range results {
		for i := range 2 {
			from, to := &results[k][i], &results[k][1-i]
			problems = append(problems, p.judge(k, i, from, to)...)
		}
	}
	return problems
}

// books looks at the sessions when nothing moves any more.
func (p *schedule) books(path []*mux.Session) (problems []string) {
	if p.Accident != nothing {
		return nil
	}
	for i, s := range path {
		if s.Err() != nil {
			return []string{fmt.Sprintf("session %d ended: %v", i, s.Err())}
		}
	}
	for _, ends := range p.Streams {
		for _, e := range ends {
			if e.Finish == staysOpen || e.Finish == halfCloses && e.NoReads {
				return nil // something may be left
			}
		}
	}
	for _, x := range path {
		held, queued, unacked := mux.Accounts(x)
		if x.NumStreams() != 0 || held != 0 || queued != 0 || unacked != 0 {
			problems = append(problems, fmt.Sprintf("left: %d streams, %d held, %d queued, %d unacked",
				x.NumStreams(), held, queued, unacked))
		}
	}
	return problems
}

// play runs the script of one end, reading beside writing.
func (e *end) play(st *mux.Stream, stream, side int, out *outcome) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for n, size := range e.Writes {
			time.Sleep(time.Duration(e.Pauses[n]) * time.Millisecond)
			buf := make([]byte, size)
			for i := range buf {
				buf[i] = pattern(stream, side, out.written+i)
			}
			k, err := st.Write(buf)
			out.written += k
			if err != nil {
				break
			}
		}
		time.Sleep(time.Duration(e.Pauses[len(e.Writes)]) * time.Millisecond)
		switch e.Finish {
		case halfCloses:
			out.ended = st.CloseWrite() == nil
		case closes:
			out.ended = st.Close() == nil
		case aborts:
			st.Abort()
		case closesTwice:
			out.ended = st.CloseWrite() == nil
			st.Close()
		case halfClosesThenAborts:
			out.ended = st.CloseWrite() == nil
			st.Abort()
		}
	})
	if !e.NoReads {
		buf := make([]byte, e.Piece)
		for out.err == nil {
			var n int
			n, out.err = st.Read(buf)
			for i, c := range buf[:n] {
				if c != pattern(stream, 1-side, out.delivered+i) {
					out.wrong = true
				}
			}
			out.delivered += n
			time.Sleep(time.Duration(e.Slow) * time.Millisecond)
		}
	}
	wg.Wait()
}

// judge compares what one end wrote with what the other read.
func (p *schedule) judge(k, i int, from, to *outcome) (problems []string) {
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("stream %d from side %d: ", k, i)+fmt.Sprintf(format, args...))
	}
	w, r := &p.Streams[k][i], &p.Streams[k][1-i]
	if to.wrong || to.delivered > from.written {
		bad("%d bytes delivered, %d written, wrong: %v", to.delivered, from.written, to.wrong)
	}
	if to.err == io.EOF && (!from.ended || to.delivered != from.written) {
		bad("end of file after %d of %d bytes, ended: %v", to.delivered, from.written, from.ended)
	}
	if to.err != nil && errors.Is(to.err, io.EOF) && to.err != io.EOF {
		bad("an error that is and is not the end of file: %v", to.err)
	}
	readsOn := !r.NoReads && r.Finish <= halfCloses
	endsWell := w.Finish == halfCloses && !w.NoReads || w.Finish == closes && r.Finish == staysOpen && len(r.Writes) == 0
	if p.Accident == nothing && readsOn && endsWell && to.err != io.EOF {
		bad("got %v after %d of %d bytes, want the end of file", to.err, to.delivered, from.written)
	}
	return problems
}
