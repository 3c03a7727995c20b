package muxrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
	"pgregory.net/rapid"
)

// end is one end of a stream and what a model knows of it.
type end struct {
	st    *muxrpc.Stream
	sends bool // items may go out here
	over  bool // its direction has ended
}

// twoEnds is a stream: the caller's end and the callee's.
type twoEnds [2]*end

// machine runs random operations on two sessions that call one another; whatever one end does, the other sees at once.
type machine struct {
	sessions [2]*muxrpc.Session
	served   [2]keeper
	streams  []twoEnds
	n        int
}

func (m *machine) call(t *rapid.T) {
	from := rapid.IntRange(0, 1).Draw(t, "from")
	m.n++
	errs := make(chan error, 1)
	var got int
	go func() { errs <- m.sessions[from].Call(soon(t), "a", m.n, &got) }()
	c := <-m.served[1-from].calls
	fails := rapid.Bool().Draw(t, "fails")
	if fails {
		c.Fail(&muxrpc.RemoteError{Name: "no"})
	} else {
		c.Reply(c.Args()[0])
	}
	err := <-errs
	if !fails && (err != nil || got != m.n) || fails && (err == nil || err.Error() != "no") {
		t.Fatalf("got %d, %v, want %d, fails %v", got, err, m.n, fails)
	}
}

func (m *machine) open(t *rapid.T) {
	if len(m.streams) == 20 {
		t.Skip("enough")
	}
	from := rapid.IntRange(0, 1).Draw(t, "from")
	typ := rapid.SampledFrom([]string{"source", "sink", "duplex"}).Draw(t, "type")
	st, err := m.sessions[from].Open(soon(t), typ, "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := <-m.served[1-from].calls
	m.streams = append(m.streams, twoEnds{
		{st: st, sends: typ != "source"},
		{st: c.Stream(), sends: typ != "sink"},
	})
}

// pick draws one of the ends whose direction goes on.
func (m *machine) pick(t *rapid.T) (stream twoEnds, here, there *end) {
	if len(m.streams) == 0 {
		t.Skip("no stream")
	}
	stream = rapid.SampledFrom(m.streams).Draw(t, "stream")
	i := rapid.IntRange(0, 1).Draw(t, "end")
	if stream[i].over {
		t.Skip("has ended")
	}
	return stream, stream[i], stream[1-i]
}

func (m *machine) send(t *rapid.T) {
	_, here, there := m.pick(t)
	m.n++
	if err := here.st.Send(m.n); (err == nil) != here.sends {
		t.Fatalf("Send: %v, may send %v", err, here.sends)
	}
	if !here.sends {
		return
	}
	if b, _, err := there.st.Recv(soon(t)); err != nil || string(b) != fmt.Sprint(m.n) {
		t.Fatalf("Recv: %s, %v, want %d", b, err, m.n)
	}
}

func (m *machine) end(t *rapid.T) {
	_, here, there := m.pick(t)
	var reason error
	if rapid.Bool().Draw(t, "fails") {
		reason = &muxrpc.RemoteError{Name: "no"}
	}
	if err := errors.Join(here.st.CloseSend(reason), here.st.CloseSend(reason)); err != nil {
		t.Fatal(err)
	}
	m.ended(t, here, there, reason)
	// An error ends both directions, and so does the END of a side that had nothing to say or the last word of a source.
	if reason != nil || !here.sends || !there.sends && there == m.callerOf(there) {
		if !there.over {
			m.ended(t, there, here, nil)
		}
	}
}

// callerOf is the caller's end of e's stream.
func (m *machine) callerOf(e *end) *end {
	for _, s := range m.streams {
		if s[0] == e || s[1] == e {
			return s[0]
		}
	}
	return nil
}

// ended checks that there sees how here's direction ended, and that here sends no more.
func (m *machine) ended(t *rapid.T, here, there *end, reason error) {
	_, _, err := there.st.Recv(soon(t))
	if reason == nil && err != io.EOF || reason != nil && (err == nil || err.Error() != "no") {
		t.Fatalf("Recv: %v, want the end by %v", err, reason)
	}
	here.over = true
	if here.st.Send(1) == nil {
		t.Fatal("sent behind the END")
	}
}

func TestStateMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := pipe(64 << 10)
		x, y := muxrpc.Conn(a), muxrpc.Conn(b)
		if rapid.Bool().Draw(t, "tries") {
			x, y = tryConn{a}, tryConn{b}
		}
		limit := muxrpc.NewLimit(64)
		m := &machine{served: [2]keeper{keep(), keep()}}
		m.sessions[0] = muxrpc.NewSession(x, muxrpc.Config{Handler: m.served[0], Limit: limit})
		m.sessions[1] = muxrpc.NewSession(y, muxrpc.Config{Handler: m.served[1], Limit: limit})
		defer m.sessions[0].Close()
		defer m.sessions[1].Close()
		t.Repeat(map[string]func(*rapid.T){"call": m.call, "open": m.open, "send": m.send, "end": m.end})

		for _, s := range m.streams { // the sinks owe an answer
			s[1].st.CloseSend(nil)
		}
		from := rapid.IntRange(0, 1).Draw(t, "leaves")
		if err := m.sessions[from].Goodbye(soon(t)); err != nil {
			t.Fatal(err)
		}
		<-m.sessions[1-from].Done()
		if err := m.sessions[1-from].Err(); err != io.EOF || limit.InUse() != 0 {
			t.Fatalf("ended with %v, %d in flight", err, limit.InUse())
		}
	})
}

// soon is a context for what must not take long.
func soon(t *rapid.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
