//go:build fault

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// agentEnv is set for a process of the test's own program that is to be an agent.
const agentEnv = "SWITCHBOARD_FAULT_AGENT"

// runAgent serves Agent on stdin and stdout, until stdin ends.
func runAgent() {
	srv := rpc.NewServer()
	a := &Agent{ends: make(map[string]*agentEnd)}
	if err := srv.Register(a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	srv.ServeConn(pipes{os.Stdin, os.Stdout})
	if a.c != nil {
		a.c.Close()
	}
	for _, c := range a.herd {
		c.Close()
	}
}

// Agent is a client in a process of its own. Every channel of it sends one flow
// and checks another, until it is told to finish.
type Agent struct {
	c     *client.Client
	every time.Duration
	mu    sync.Mutex
	ends  map[string]*agentEnd // by the channel's id
	herd  []*client.Client
	siege *siege         // the last
	sinks sync.WaitGroup // they end with the process
}

// The arguments and results of an Agent's methods.
type (
	// EnterArgs say where to log in, and as whom.
	EnterArgs struct {
		Address string
		Seed    [32]byte
		Every   time.Duration // between two pieces of a flow
		Single  bool          // each lane is a connection
	}
	// OpenArgs say whom to call.
	OpenArgs struct {
		To     string
		Direct uint8
	}
	// EndState is how one end is.
	EndState struct {
		ID                string // "": there is none
		Link              string // "": relayed
		Sent, Received    int64
		ReadErr, WriteErr string // "eof", a code, or a text; "" while it goes on
		Over              bool
		At                time.Time // of the first error
		Tries             []string  // what the caller was told of attempts
	}
	// PauseArgs say which end is to read no more, or again.
	PauseArgs struct {
		ID string
		On bool
	}
	// None is no argument.
	None struct{}
)

// pieceSize is what a flow writes at a time.
const pieceSize = 8 << 10

// Enter logs in.
func (a *Agent) Enter(args EnterArgs, _ *None) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), slow*20*time.Second)
	defer cancel()
	a.every = args.Every
	a.c, err = client.Dial(ctx, client.Config{Address: args.Address, Key: shs.NewPrivateKey(args.Seed), SingleLane: args.Single})
	return err
}

// Listen takes whatever calls a name.
func (a *Agent) Listen(name string, _ *None) error {
	ctx, cancel := context.WithTimeout(context.Background(), slow*20*time.Second)
	defer cancel()
	ln, err := a.c.Listen(ctx, name)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			a.begin(conn.(*channel.Conn), nil)
		}
	})
	return nil
}

// Open opens a channel. The result is its id, or an error's code.
func (a *Agent) Open(args OpenArgs, id *string) error {
	ctx, cancel := context.WithTimeout(context.Background(), slow*20*time.Second)
	defer cancel()
	tries := new(tries)
	conn, err := a.c.Open(ctx, args.To, client.OpenOptions{Direct: client.Direct(args.Direct), OnDirect: tries.add})
	if err != nil {
		*id = text(err)
		return nil
	}
	*id = a.begin(conn, tries)
	return nil
}

// tries is what a caller is told of attempts.
type tries struct {
	mu   sync.Mutex
	said []string
}

func (t *tries) add(at client.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said = append(t.said, fmt.Sprintf("%s after %v: %v", at.Kind, at.Took.Round(time.Millisecond), at.Err))
}

// agentEnd is one end of a channel.
type agentEnd struct {
	conn           *channel.Conn
	tries          *tries // nil at the callee
	finish         chan struct{}
	once           sync.Once
	sent, received atomic.Int64
	reading        sync.Mutex // held by who reads, or keeps it from that

	mu   sync.Mutex
	s    EndState
	left int // of the two directions
}

// begin lets a channel flow both ways.
func (a *Agent) begin(conn *channel.Conn, tries *tries) string {
	info := conn.Info()
	e := &agentEnd{conn: conn, tries: tries, finish: make(chan struct{}), left: 2}
	e.s.ID = info.ID.String()
	mine, theirs := flow(1), flow(2)
	if info.Caller {
		mine, theirs = theirs, mine
	}
	a.mu.Lock()
	a.ends[e.s.ID] = e
	a.mu.Unlock()
	var wg sync.WaitGroup // the process outlives them
	wg.Go(func() { e.ended(&e.s.WriteErr, e.write(mine, a.every)) })
	wg.Go(func() { e.ended(&e.s.ReadErr, e.read(theirs)) })
	return e.s.ID
}

// write writes a flow at its pace until it is to finish.
func (e *agentEnd) write(f flow, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	buf := make([]byte, pieceSize)
	for {
		select {
		case <-tick.C:
		case <-e.finish:
			return e.conn.CloseWrite()
		}
		f.fill(buf, e.sent.Load())
		n, err := e.conn.Write(buf)
		e.sent.Add(int64(n))
		if err != nil {
			return err
		}
	}
}

// read checks a flow until its end.
func (e *agentEnd) read(f flow) error {
	buf := make([]byte, 32<<10)
	for {
		e.reading.Lock()
		n, err := e.conn.Read(buf)
		e.reading.Unlock()
		if !f.check(buf[:n], e.received.Load()) {
			return errAltered
		}
		e.received.Add(int64(n))
		if err != nil {
			return err
		}
	}
}

// ended notes the end of a direction. Behind both, the channel is closed.
func (e *agentEnd) ended(what *string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*what = text(err)
	if e.s.At.IsZero() {
		e.s.At = time.Now()
	}
	if e.left--; e.left == 0 {
		e.conn.Close()
	}
}

// State is how an end is.
func (a *Agent) State(id string, s *EndState) error {
	a.mu.Lock()
	e := a.ends[id]
	a.mu.Unlock()
	if e == nil {
		return nil
	}
	// Received is read before Sent: never does an end seem to have more than
	// was written because of the order in which it was asked.
	link := string(e.conn.Link())
	e.mu.Lock()
	defer e.mu.Unlock()
	*s = e.s
	s.Received, s.Sent, s.Over, s.Link = e.received.Load(), e.sent.Load(), e.left == 0, link
	if e.tries != nil {
		e.tries.mu.Lock()
		s.Tries = append([]string{}, e.tries.said...)
		e.tries.mu.Unlock()
	}
	return nil
}

// Finish ends the direction of an end, and lets it take what still comes.
func (a *Agent) Finish(id string, _ *None) error {
	a.mu.Lock()
	e := a.ends[id]
	a.mu.Unlock()
	if e == nil {
		return fmt.Errorf("no channel %s", id)
	}
	e.once.Do(func() { close(e.finish) })
	return nil
}

// Pause keeps an end from reading, or lets it go on.
func (a *Agent) Pause(args PauseArgs, _ *None) error {
	a.mu.Lock()
	e := a.ends[args.ID]
	a.mu.Unlock()
	switch {
	case e == nil:
		return fmt.Errorf("no channel %s", args.ID)
	case args.On:
		e.reading.Lock()
	default:
		e.reading.Unlock()
	}
	return nil
}

// Channels are those that the server lists of this client's key.
func (a *Agent) Channels(_ None, list *[]client.Channel) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), slow*20*time.Second)
	defer cancel()
	*list, err = a.c.Channels(ctx, false)
	return err
}

// Session is the id of the session that the client has now.
func (a *Agent) Session(_ None, id *string) error {
	ctx, cancel := context.WithTimeout(context.Background(), slow*20*time.Second)
	defer cancel()
	me, err := a.c.WhoAmI(ctx)
	if err == nil {
		*id = me.Session
	}
	return err
}

// Footprint is what the process holds.
func (a *Agent) Footprint(_ None, f *[2]int) error {
	fds, err := os.ReadDir("/proc/self/fd")
	*f = [2]int{len(fds), runtime.NumGoroutine()}
	return err
}

// text is what an error is compared by.
func text(err error) string {
	var known *client.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, io.EOF):
		return "eof"
	case errors.As(err, &known):
		return string(known.Code)
	}
	return err.Error()
}
