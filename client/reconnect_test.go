package client_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// TestServerRestart takes the server away and back: names, listeners and
// watches survive it, channels do not.
func TestServerRestart(t *testing.T) {
	p := newPlace(t)
	for _, m := range modes(p.address()) {
		t.Run(m.name, func(t *testing.T) {
			stop := p.serve(t)
			st := newStates()
			m.cfg.OnState = st.add
			m.cfg.Direct = client.DirectNever // a channel that has moved goes on without the server
			plugin := dial(t, m.cfg)
			m.cfg.OnState = nil
			peer := dial(t, m.cfg)
			st.await(t, client.Connected)

			ln, err := plugin.Listen(short(t), "r.listen")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			for _, name := range []string{"r.claimed", "r.released"} {
				if _, err := plugin.Claim(short(t), name, client.ClaimOptions{Info: 1}); err != nil {
					t.Fatal(err)
				}
			}
			if err := plugin.Update(short(t), "r.claimed", 2); err != nil {
				t.Fatal(err)
			}
			if err := plugin.Release(short(t), "r.released"); err != nil {
				t.Fatal(err)
			}
			c1, c2 := connect(t, peer, ln)

			present := map[string]bool{}
			restarted, lagged := false, false
			for ev, err := range peer.Watch(short(t), "r.*") {
				if err != nil {
					t.Fatal(err)
				}
				switch ev.Type {
				case client.EventConnected:
					present[ev.Name] = true
				case client.EventDisconnected:
					delete(present, ev.Name)
				case client.EventLagged:
					lagged = true
					clear(present)
				case client.EventSynced:
					if !restarted {
						restarted = true
						stop()
						stop = p.serve(t)
					}
				}
				if lagged && present["r.listen"] && present["r.claimed"] {
					break
				}
			}
			if present["r.released"] {
				t.Error("a released name came back")
			}
			for _, c := range []io.Reader{c1, c2} {
				if _, err := io.ReadAll(c); err == nil {
					t.Error("a channel ended well with its server")
				}
			}
			if got := st.await(t, client.Disconnected); got.Err == nil {
				t.Error("disconnected without a reason")
			}
			if got := st.await(t, client.Reconnecting); got.After <= 0 {
				t.Errorf("got %+v", got)
			}
			st.await(t, client.Connected)
			c1, c2 = connect(t, peer, ln)
			c1.Close()
			c2.Close()
			if e, err := peer.Lookup(short(t), "r.claimed"); err != nil || string(e.Info) != "2" {
				t.Fatalf("got info %s, %v", e.Info, err)
			}
			plugin.Close()
			st.await(t, client.Closed)
			peer.Close()
			stop()
		})
	}
}

// TestNameGoneAfterRestart finds a stranger on the name after the restart:
// the listener says so.
func TestNameGoneAfterRestart(t *testing.T) {
	p := newPlace(t)
	stop := p.serve(t)
	gate := newGate()
	defer gate.release()
	c := dial(t, client.Config{Address: p.address(), Dial: gate.dial})
	ln, err := c.Listen(short(t), "r.stolen")
	if err != nil {
		t.Fatal(err)
	}
	gate.shut()
	stop()
	p.serve(t)
	thief := dial(t, client.Config{Address: p.address()})
	if _, err := thief.Claim(short(t), "r.stolen", client.ClaimOptions{}); err != nil {
		t.Fatal(err)
	}
	gate.open()
	_, err = ln.Accept()
	wantErr(t, err, client.ErrNameLost)
	wantErr(t, err, client.NameTaken)
}

// TestDeadSessionIsReplaced cuts the connection so that the server does not
// notice: the name is taken back from our own dead session.
func TestDeadSessionIsReplaced(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	for _, queue := range []bool{false, true} {
		gate := newGate()
		st := newStates()
		c := dial(t, client.Config{Address: p.address(), Dial: gate.dial, Key: shs.GenerateKey(), OnState: st.add})
		ln, err := c.ListenWith(short(t), "r.mine", client.ClaimOptions{Queue: queue})
		if err != nil {
			t.Fatal(err)
		}
		before, err := c.WhoAmI(short(t))
		if err != nil {
			t.Fatal(err)
		}
		gate.strand() // ours breaks, the server's stays
		st.await(t, client.Disconnected)
		st.await(t, client.Connected)
		if got := ln.Claim(); got.State != "owner" {
			t.Fatalf("got %+v, want the owner's", got)
		}
		peer := dial(t, client.Config{Address: p.address()})
		e, err := peer.Lookup(short(t), "r.mine")
		if err != nil {
			t.Fatal(err)
		}
		if e.Session == before.Session {
			t.Fatal("the dead session still owns the name")
		}
		c1, c2 := connect(t, peer, ln)
		c1.Close()
		c2.Close()
		c.Close()
		gate.release()
	}
}

func TestNoReconnect(t *testing.T) {
	p := newPlace(t)
	stop := p.serve(t)
	c := dial(t, client.Config{Address: p.address(), NoReconnect: true})
	ln, err := c.Listen(short(t), "r.once")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	<-c.Done()
	if c.Err() == nil {
		t.Fatal("no reason")
	}
	_, err = c.Names(short(t), "")
	wantErr(t, err, client.ErrNotConnected)
	_, err = c.DialContext(short(t), "", "r.once")
	wantErr(t, err, client.ErrNotConnected)
	_, err = ln.Accept()
	wantErr(t, err, client.ErrNotConnected)
	for _, err := range c.Watch(short(t), "") {
		wantErr(t, err, client.ErrNotConnected)
	}
	c.Close()
	_, err = c.Ping(short(t))
	wantErr(t, err, client.ErrNotConnected)
}

// TestWatchResumes cuts the connection of a watcher, not of the server: the
// changes in the gap follow, without a new snapshot.
func TestWatchResumes(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	for _, single := range []bool{false, true} {
		gate := newGate()
		w := dial(t, client.Config{Address: p.address(), Dial: gate.dial, SingleLane: single})
		plugin := dial(t, client.Config{Address: p.address()})
		claim := func(name string) {
			if _, err := plugin.Claim(short(t), name, client.ClaimOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		claim("w.before")
		var got []string
		for ev, err := range w.Watch(short(t), "w.*") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ev.Type+ev.Name)
			if len(got) == 2 {
				gate.shut()
				gate.strand()
				claim("w.gap")
				gate.open()
			}
			if len(got) == 4 {
				claim("w.after")
			}
			if len(got) == 5 {
				break
			}
		}
		want := "[connectedw.before synced connectedw.gap synced connectedw.after]"
		if fmt.Sprint(got) != want {
			t.Errorf("got %v, want %v", got, want)
		}
		w.Close()
		plugin.Close()
		gate.release()
	}
}
