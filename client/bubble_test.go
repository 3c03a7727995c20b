package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// bubbleDial is dial without deadlines of its own: a bubble has its own clock.
func bubbleDial(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBackoff checks the pauses between reconnects: growing and jittered while
// nobody is there, the longest once the server refuses.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		st := newStates()
		cfg := f.config()
		cfg.OnState = st.add
		c := bubbleDial(t, cfg)
		defer c.Close()
		gone := errors.New("nobody there")
		f.set(gone, false)
		(<-f.conns).conn.Abort()

		want := 50 * time.Millisecond
		for range 12 {
			got := st.await(t, client.Reconnecting)
			if got.After < want/2 || got.After > want {
				t.Fatalf("got a pause of %v, want %v to %v", got.After, want/2, want)
			}
			want = min(2*want, 5*time.Second)
		}
		f.set(nil, false)
		st.await(t, client.Connected)
		time.Sleep(time.Minute) // a session that lived: the pause begins anew
		f.set(nil, true)
		(<-f.conns).conn.Abort()
		st.await(t, client.Reconnecting)
		if got := st.await(t, client.Reconnecting).After; got > time.Second {
			t.Fatalf("got a pause of %v after one refusal", got)
		}
		for range 3 {
			if got := st.await(t, client.Reconnecting).After; got < 2500*time.Millisecond {
				t.Fatalf("got a pause of %v after refusals", got)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Names(ctx, "")
		wantErr(t, err, context.DeadlineExceeded)
		f.set(nil, false)
		if _, err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDialDeadlines meets servers that stall at each step.
func TestDialDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.script = func(c *muxrpc.Call) bool { return c.Name() == control.MethodWhoAmI }
		cfg := f.config()
		began := time.Now()
		_, err := client.Dial(t.Context(), cfg)
		wantErr(t, err, context.DeadlineExceeded)
		if d := time.Since(began); d < 10*time.Second || d > 12*time.Second {
			t.Fatalf("a silent session took %v", d)
		}
		ours, theirs := testnet.Pipe()
		defer theirs.Close()
		cfg.Dial = dialOnce(ours)
		began = time.Now()
		if _, err = client.Dial(t.Context(), cfg); err == nil {
			t.Fatal("a handshake with nobody")
		}
		if d := time.Since(began); d != 5*time.Second {
			t.Fatalf("a silent handshake took %v", d)
		}
	})
}

// TestKeepAlive stops answering pings: with and without yamux the session ends
// after 45 s.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var mute atomic.Bool
		f.script = func(c *muxrpc.Call) bool { return mute.Load() && c.Name() == control.MethodPing }
		st := newStates()
		cfg := f.config()
		cfg.SingleLane = true
		cfg.OnState = st.add
		c := bubbleDial(t, cfg)
		defer c.Close()
		time.Sleep(10 * time.Minute)
		if len(st) != 1 {
			t.Fatalf("got %d states, want only connected", len(st))
		}
		mute.Store(true)
		began := time.Now()
		st.await(t, client.Disconnected)
		if d := time.Since(began); d < 30*time.Second || d > 47*time.Second {
			t.Fatalf("a silent server was noticed after %v", d)
		}
		mute.Store(false)
		st.await(t, client.Connected)
	})
}

// TestGoAway asks the client to leave while it has a channel: the channel goes
// on, what is new waits for the next session.
func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := bubbleDial(t, f.config())
		defer c.Close()
		ln, err := c.Listen(t.Context(), "test.away")
		if err != nil {
			t.Fatal(err)
		}
		fc := <-f.conns
		lane := openWith(t, fc, control.MethodOffer, "duplex", offer(someChannel, "test.away", ""))
		if p, err := muxrpc.ReadPacket(lane, 1<<20); err != nil || p.Flags&muxrpc.FlagEnd != 0 {
			t.Fatalf("offer not taken: %+v, %v", p, err)
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		fc.mux.GoAway()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Ping(ctx)
		wantErr(t, err, context.DeadlineExceeded)
		go lane.Write([]byte("still here"))
		buf := make([]byte, 10)
		if _, err := io.ReadFull(conn, buf); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if _, err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-f.conns
	})
}

// TestReclaim finds a server that has no time for claims after the reconnect.
func TestReclaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		tries := 0
		f.script = func(c *muxrpc.Call) bool {
			if c.Name() != control.MethodClaim {
				return false
			}
			if tries++; tries > 1 && tries < 5 {
				c.Fail(control.ToWire(control.RateLimited))
				return true
			}
			var a control.ClaimArgs
			control.Decode(c.Args(), &a)
			if tries > 1 && (a.Replace || !a.Yield || string(a.Info) != "1") {
				t.Errorf("claimed again with %+v", a)
			}
			return false
		}
		c := bubbleDial(t, f.config())
		defer c.Close()
		ln, err := c.ListenWith(t.Context(), "test.again", client.ClaimOptions{Replace: true, Yield: true, Info: 1})
		if err != nil {
			t.Fatal(err)
		}
		(<-f.conns).conn.Abort()
		<-f.conns
		time.Sleep(time.Minute)
		synctest.Wait()
		if tries != 5 {
			t.Errorf("got %d claims, want 5", tries)
		}
		if got := ln.Claim(); got.State != "owner" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestSlowWatch has a loop body that stands still while megabytes come: it gets
// what was kept for it, then lagged, then a new snapshot.
func TestSlowWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := bubbleDial(t, f.config())
		defer c.Close()
		fc := <-f.conns
		const flood = 3000
		go func() {
			for range 2 {
				lane := <-fc.lanes
				muxrpc.ReadPacket(lane, 1<<20)
				body, _ := json.Marshal(control.Event{Rev: 1, Type: control.EventConnected, Name: strings.Repeat("n", 4000)})
				for range flood {
					if muxrpc.WritePacket(lane, muxrpc.Packet{Flags: 0x0a, Req: -1, Body: body}) != nil {
						break
					}
				}
				muxrpc.WritePacket(lane, muxrpc.Packet{Flags: 0x0a, Req: -1, Body: []byte(`{"rev":2,"type":"synced"}`)})
			}
		}()
		events, lagged := 0, 0
		for ev, err := range c.Watch(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if events++; events == 1 {
				time.Sleep(time.Minute)
			}
			if ev.Type == client.EventLagged {
				lagged++
				events = 1
			}
			if ev.Type == client.EventSynced {
				break
			}
		}
		if lagged != 1 || events != flood+2 {
			t.Errorf("got %d events after %d lagged, want %d after 1", events, lagged, flood+2)
		}
	})
}

// TestAcceptNotAnswered is offered a channel without yamux and gets no answer
// to its accept: the place in the backlog is free again.
func TestAcceptNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.script = func(c *muxrpc.Call) bool { return c.Name() == control.MethodAccept }
		var log bytes.Buffer
		cfg := f.config()
		cfg.SingleLane = true
		cfg.Log = textLog(&log)
		c := bubbleDial(t, cfg)
		defer c.Close()
		ln, err := c.Listen(t.Context(), "test.token")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		fc := <-f.conns
		for range 65 {
			var res control.OfferResult
			if err := fc.ctl.Call(t.Context(), control.MethodOffer, offer(someChannel, "test.token", "00"), &res); err != nil {
				t.Fatal(err)
			}
			time.Sleep(11 * time.Second)
		}
		synctest.Wait()
		if !strings.Contains(log.String(), "offer not taken up") {
			t.Error("nothing in the log")
		}
		// One that is called off is dropped at once.
		if err := fc.ctl.Call(t.Context(), control.MethodOffer, offer(someChannel, "test.token", "00"), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		log.Reset()
		if err := fc.ctl.Call(t.Context(), control.MethodChannelClose, control.ChannelCloseArgs{Channel: someChannel, Reason: "peer_gone"}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !strings.Contains(log.String(), "offer not taken up") {
			t.Error("an offer that was called off was still waited for")
		}
	})
}

// TestListenerReleasedByServer loses a name by the server's own decision.
func TestListenerReleasedByServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, event := range []control.Event{
			{Rev: 9, Type: control.EventDisconnected, Name: "test.gone"},
			{Rev: 9, Type: control.EventSynced}, // after lagged, without the name
		} {
			f := newFake(t)
			f.script = func(c *muxrpc.Call) bool {
				if c.Name() != control.MethodWatch {
					return false
				}
				for _, ev := range []control.Event{
					{Rev: 8, Type: control.EventConnected, Entry: &control.Entry{Session: ":1", Epoch: 7}},
					{Rev: 8, Type: control.EventSynced},
					{Rev: 8, Type: control.EventLagged},
					event,
				} {
					c.Stream().Send(ev)
				}
				return true
			}
			c := bubbleDial(t, f.config())
			ln, err := c.Listen(t.Context(), "test.gone")
			if err == nil {
				_, err = ln.Accept()
			}
			wantErr(t, err, client.ErrNameLost)
			wantErr(t, err, client.NotOwner)
			c.Close()
		}
	})
}

// TestUnguarded has a server that grants no watch: the listener works on, asks
// for its name instead, and hears of its loss.
func TestUnguarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.script = func(c *muxrpc.Call) bool {
			switch c.Name() {
			case control.MethodWatch:
				c.Fail(control.ToWire(control.Quota))
			case control.MethodGet:
				c.Fail(control.ToWire(control.NotFound))
			default:
				return false
			}
			return true
		}
		c := bubbleDial(t, f.config())
		defer c.Close()
		ln, err := c.Listen(t.Context(), "test.unguarded")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		lane := openWith(t, <-f.conns, control.MethodOffer, "duplex", offer(someChannel, "test.unguarded", ""))
		if _, err := muxrpc.ReadPacket(lane, 1<<20); err != nil {
			t.Fatal(err)
		}
		if _, err := ln.Accept(); err != nil {
			t.Fatal(err)
		}
		_, err = ln.Accept()
		wantErr(t, err, client.ErrNameLost)
	})
}

// TestClaimGivenUp stops waiting for a claim: what the server may have granted
// is released.
func TestClaimGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var released atomic.Int32
		f.script = func(c *muxrpc.Call) bool {
			if c.Name() == control.MethodRelease {
				released.Add(1)
			}
			return c.Name() == control.MethodClaim
		}
		c := bubbleDial(t, f.config())
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Listen(ctx, "test.late")
		wantErr(t, err, context.DeadlineExceeded)
		synctest.Wait()
		if released.Load() != 1 {
			t.Errorf("got %d releases, want 1", released.Load())
		}
		_, err = c.Listen(ctx, "test.late") // free to be tried again
		wantErr(t, err, context.DeadlineExceeded)
	})
}
