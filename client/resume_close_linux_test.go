package client_test

import (
	"io"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// TestResumeClose: what was written before a Close comes over the next link, if the
// last one has died and there is no lane to go back to.
func TestResumeClose(t *testing.T) {
	for _, byCallee := range []bool{false, true} {
		p := newTCPPlace(t)
		address, stop := p.serve(t)
		a, b := p.dial(t, address, 1<<20, 1<<20, newStates(), newStates())
		call, accepted := open(t, a, listen(t, b, "org.example.far"), client.OpenOptions{Direct: client.DirectRequire})
		bounce(t, call, accepted, "before")
		if byCallee {
			call, accepted = accepted, call
		}
		if p.cutLinks() == 0 {
			t.Fatal("there is no link")
		}
		if _, err := call.Write([]byte("the last")); err != nil {
			t.Fatal(err)
		}
		call.Close()
		accepted.SetReadDeadline(time.Now().Add(20 * time.Second))
		if got, err := io.ReadAll(accepted); string(got) != "the last" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		accepted.Close()
		eventually(t, func() bool { _, ok := listed(t, a, call.Info().ID); return !ok })
		a.Close()
		b.Close()
		stop()
	}
}
