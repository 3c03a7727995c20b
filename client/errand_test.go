package client_test

import (
	"fmt"
	"io"
	"testing"

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
