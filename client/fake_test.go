package client_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// fake is a server written by hand, for what the real one never does. It is
// in memory, so that it may run in a bubble.
type fake struct {
	key    shs.PrivateKey
	script func(*muxrpc.Call) bool // a call it answers, or leaves unanswered; false: the default answer
	conns  chan *fakeConn          // each that has logged in

	mu   sync.Mutex
	down error // what dialling says
	deny bool  // refuse logins
	ctls []*muxrpc.Session
	wg   sync.WaitGroup
}

// fakeConn is one session of a fake.
type fakeConn struct {
	conn  *shs.Conn
	mux   *mux.Session     // nil in single-lane mode
	ctl   *muxrpc.Session  // the control lane
	lanes chan *mux.Stream // the further ones
}

func newFake(t testing.TB) *fake {
	f := &fake{key: shs.GenerateKey(), conns: make(chan *fakeConn, 100)}
	t.Cleanup(func() {
		f.mu.Lock()
		ctls := f.ctls
		f.mu.Unlock()
		for _, ctl := range ctls {
			ctl.Close() // one with a call that is never answered would wait for ever
		}
		f.wg.Wait()
	})
	return f
}

func (f *fake) config() client.Config {
	a := shs.Address{Network: "net", Addr: "fake:1", Key: f.key.Public()}
	return client.Config{Address: a.String(), Key: shs.GenerateKey(), Dial: f.dial}
}

func (f *fake) dial(context.Context, string, string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return nil, f.down
	}
	ours, theirs := testnet.Pipe()
	if f.deny {
		theirs.Close()
		return ours, nil
	}
	f.wg.Go(func() { f.login(theirs) })
	return ours, nil
}

func (f *fake) set(down error, deny bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down, f.deny = down, deny
}

func (f *fake) login(raw net.Conn) {
	conn := shs.Server(raw, &shs.Config{Key: f.key})
	if err := conn.Handshake(context.Background()); err != nil {
		raw.Close()
		return
	}
	fc := &fakeConn{conn: conn, lanes: make(chan *mux.Stream, 100)}
	first, err := conn.Peek(1)
	if err != nil {
		conn.Abort()
		return
	}
	if first[0] != 0 {
		fc.ctl = muxrpc.NewSession(conn, muxrpc.Config{Handler: f})
		f.began(fc)
		<-fc.ctl.Done()
		fc.ctl.Close()
		return
	}
	fc.mux = mux.Server(conn, mux.Config{})
	stream, err := fc.mux.Accept(context.Background())
	if err != nil {
		fc.mux.Close()
		return
	}
	fc.ctl = muxrpc.NewSession(stream, muxrpc.Config{Handler: f})
	f.began(fc)
	for {
		stream, err := fc.mux.Accept(context.Background())
		if err != nil {
			break
		}
		fc.lanes <- stream
	}
	fc.mux.Close()
	fc.ctl.Close()
}

func (f *fake) began(fc *fakeConn) {
	f.mu.Lock()
	f.ctls = append(f.ctls, fc.ctl)
	f.mu.Unlock()
	f.conns <- fc
}

// ServeCall answers what a client calls when nothing is wrong.
func (f *fake) ServeCall(c *muxrpc.Call) {
	if f.script != nil && f.script(c) {
		return
	}
	switch c.Name() {
	case control.MethodWhoAmI:
		c.Reply(control.WhoAmI{ID: f.key.Public(), Session: ":1", Server: control.ServerInfo{ID: f.key.Public()}})
	case control.MethodPing:
		c.Reply(1)
	case control.MethodClaim:
		var a control.ClaimArgs
		if err := control.Decode(c.Args(), &a); err != nil {
			c.Fail(control.ToWire(err))
			return
		}
		c.Reply(control.ClaimResult{Name: a.Name, State: "owner", Epoch: 7, Rev: 7})
	case control.MethodRelease:
		c.Reply(control.RevResult{})
	case control.MethodWatch: // of a listener's own name
		c.Stream().Send(control.Event{Rev: 8, Type: control.EventConnected, Entry: &control.Entry{Session: ":1", Epoch: 7}})
		c.Stream().Send(control.Event{Rev: 8, Type: control.EventSynced})
	default:
		c.Fail(&muxrpc.RemoteError{Name: "Error"})
	}
}

// offer is an offer of a channel to a name.
func offer(id, name, token string) control.OfferArgs {
	return control.OfferArgs{Channel: id, Name: name, Token: token, Peer: control.Caller{ID: shs.GenerateKey().Public(), Session: ":9"}}
}
