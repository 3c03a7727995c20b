package client_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
)

// TestCloseTells: a program that ends at once behind its direct channel leaves
// nothing of it in the server's books.
func TestCloseTells(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	b := dial(t, client.Config{Address: p.address()})
	ln := listen(t, b, "org.example.near")
	admin := dial(t, client.Config{Address: p.address(), Key: p.key})
	for i := range 5 {
		for _, before := range []bool{true, false} { // Close of the channel, or of the client with it open
			t.Run(fmt.Sprint(before, i), func(t *testing.T) {
				a := dial(t, client.Config{Address: p.address()})
				call, accepted := open(t, a, ln, client.OpenOptions{Direct: client.DirectRequire})
				bounce(t, call, accepted, "hello")
				if before {
					if err := call.Close(); err != nil {
						t.Fatal(err)
					}
				}
				a.Close()
				if _, err := io.Copy(io.Discard, accepted); before != (err == nil) {
					t.Errorf("the other end ends with %v", err)
				}
				accepted.Close()
				eventually(t, func() bool {
					var list control.ChannelsList
					if err := admin.Call(short(t), control.MethodChannelsList, control.ChannelsListArgs{All: true}, &list); err != nil {
						t.Fatal(err)
					}
					return len(list.Channels) == 0
				})
			})
		}
	}
}

// TestCloseDelivers: what was written on a direct channel comes, and the end
// behind it, when Close of the client follows that of the channel at once and the
// link was full.
func TestCloseDelivers(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	for _, kind := range []channel.Kind{channel.FD, channel.Unix} {
		t.Run(string(kind), func(t *testing.T) {
			cfg := client.Config{Address: p.address(), DirectKinds: []channel.Kind{kind}}
			delivers(t, cfg, cfg)
		})
	}
}

// delivers fills a link of a, closes, and reads at b.
func delivers(t *testing.T, a, b client.Config) {
	t.Helper()
	c := dial(t, a)
	ln := listen(t, dial(t, b), "org.example.full")
	call, accepted := open(t, c, ln, client.OpenOptions{Direct: client.DirectRequire})
	bounce(t, call, accepted, "hello")
	call.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	buf := bytes.Repeat([]byte("0123456789abcdef"), 1<<10)
	n := 0
	for err := error(nil); err == nil; {
		var m int
		m, err = call.Write(buf[n%len(buf):])
		n += m
	}
	var got []byte
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { got, err = io.ReadAll(accepted); accepted.Close() })
	call.Close()
	c.Close()
	wg.Wait()
	for at := 0; at < len(got); at += len(buf) {
		if part := got[at:min(len(got), at+len(buf))]; !bytes.Equal(part, buf[:len(part)]) {
			t.Fatalf("other bytes came than were written, behind %d", at)
		}
	}
	if len(got) != n || err != nil {
		t.Errorf("%d bytes came of %d, and %v; want all, and the end", len(got), n, err)
	}
}
