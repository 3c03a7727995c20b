package client_test

import (
	"io"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// TestDirectEndsInGap: an end that is over while there is no session says so over the
// next one: the server does not wait for it, and lets the other end take its time.
func TestDirectEndsInGap(t *testing.T) {
	for _, closes := range []bool{false, true} {
		const lease = time.Second
		p := newPlace(t)
		p.cfg.Limits.DirectLease = lease
		stop := p.serve(t)
		sa, sb := newStates(), newStates()
		a := dial(t, client.Config{Address: p.address(), OnState: sa.add})
		b := dial(t, client.Config{Address: p.address(), OnState: sb.add})
		call, accepted := open(t, a, listen(t, b, "org.example.near"), client.OpenOptions{Direct: client.DirectRequire})
		bounce(t, call, accepted, "before")
		if err := accepted.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []states{sa, sb} {
			s.await(t, client.Connected)
		}
		stop()
		for _, s := range []states{sa, sb} {
			s.await(t, client.Disconnected)
		}
		if _, err := call.Write([]byte("slowly read")); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		if err := call.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if closes {
			call.Close()
		}
		p.serve(t)
		for _, s := range []states{sa, sb} {
			s.await(t, client.Connected)
		}
		<-time.After(2 * lease)
		if got, err := io.ReadAll(accepted); string(got) != "slowly read" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		accepted.Close()
		call.Close()
	}
}
