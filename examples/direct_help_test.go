//go:build examples

package examples_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// dial logs in.
func (b *bench) dial(t *testing.T, keyFile, addr string) *client.Client {
	t.Helper()
	key, err := shs.LoadKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(t.Context(), client.Config{Address: addr, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// listen claims a name in Go, and gives its channels.
func (b *bench) listen(t *testing.T, key, addr, name string) <-chan *channel.Conn {
	t.Helper()
	ln, err := b.dial(t, key, addr).Listen(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan *channel.Conn)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		defer close(conns)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			select {
			case conns <- conn.(*channel.Conn):
			case <-ctx.Done():
				return
			}
		}
	}()
	return conns
}

// open opens a channel in Go, with the other key.
func (b *bench) open(t *testing.T, addr, name string, direct client.Direct) *channel.Conn {
	t.Helper()
	conn, err := b.dial(t, b.otherKey(), addr).Open(t.Context(), name, client.OpenOptions{Direct: direct})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// bypassed waits until the server says that the channel to a name is direct,
// and makes sure that its counters stand still while do is done; with empty, at 0.
func (b *bench) bypassed(t *testing.T, name, kind string, empty bool, do func()) {
	t.Helper()
	direct := func(c *client.Channel) bool { return c != nil && c.State == "direct" }
	before := b.channel(t, name, direct)
	do()
	after := b.channel(t, name, direct)
	if before.Link != kind || before.In != after.In || before.Out != after.Out {
		t.Errorf("the server has seen %+v, then %+v", before, after)
	}
	if empty && (after.In != 0 || after.Out != 0) {
		t.Errorf("nothing was to go over the server: %+v", after)
	}
}

// gone waits until the server knows of no channel to a name.
func (b *bench) gone(t *testing.T, name string) {
	t.Helper()
	b.channel(t, name, func(c *client.Channel) bool { return c == nil })
}

// channel asks for the channel to a name until it is as ok wants it.
func (b *bench) channel(t *testing.T, name string, ok func(*client.Channel) bool) *client.Channel {
	t.Helper()
	for late := time.Now().Add(patience); ; {
		var all []client.Channel
		if err := json.Unmarshal(b.output(t, "sbctl", "channels", "--json"), &all); err != nil {
			t.Fatal(err)
		}
		var found *client.Channel
		for i := range all {
			if all[i].Name == name {
				found = &all[i]
			}
		}
		if ok(found) {
			return found
		}
		if time.Now().After(late) {
			t.Fatalf("the channel is %+v", found)
		}
	}
}

// output runs a program of ours and gives what it prints.
func (b *bench) output(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := b.command(b.addresses["unix"], "", args...).Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

// mustBreak reads until an error, which is not the end.
func mustBreak(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); err == nil {
		t.Error("an abort looks like an end")
	}
}
