package client

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// deafLane is a lane that nothing goes over.
type deafLane struct{ net.Conn }

func (l deafLane) CloseWrite() error { return nil }
func (l deafLane) Abort() error      { return l.Close() }

// TestFollowNoMore: who comes in the moment in which the waiting ends is not left
// with a link that nobody reads.
func TestFollowNoMore(t *testing.T) {
	key, peer := shs.GenerateKey(), shs.GenerateKey()
	for i := range 300 {
		a, b := net.Pipe()
		e := &end{s: &session{c: &Client{}}}
		e.path = channel.NewPath(deafLane{a}, false, func(f func()) { f() })
		at := channel.Attempt{Key: key, Peer: peer.Public(), Secret: [32]byte{byte(i), byte(i >> 8)}}
		ln, err := at.Listen([]channel.Kind{channel.Net}, channel.ListenOptions{Host: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		w := newAwaited()
		w.ln = ln
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { e.follow(ctx, w) })
		at.Key, at.Peer, at.Caller = peer, key.Public(), true
		link, err := at.Dial(t.Context(), channel.Net, net.JoinHostPort("127.0.0.1", strconv.Itoa(ln.Port())))
		cancel()
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		link.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := link.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d: the link is open, and the waiting over", i)
		}
		link.Abort()
		e.path.Abort()
		b.Close()
	}
}
