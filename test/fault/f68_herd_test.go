//go:build fault

package fault_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// herdSize is how many plugins lose their server at once, and herdRate how many of
// them may log in in any one second.
const (
	herdSize = 200
	herdRate = 50
)

// toLearn is within what time a plugin has been told how many have come behind it.
const toLearn = 6 * time.Second

// herd is the plugins of one server.
type herd struct {
	t     *testing.T
	d     *daemon
	back  chan struct{}            // a token for each login
	first atomic.Pointer[net.Conn] // the connection of the first
}

// newHerd logs them in, each with a name.
func newHerd(t *testing.T, network string) *herd {
	t.Helper()
	keys, public := someKeys(herdSize)
	h := &herd{t: t, d: newDaemon(t, public...), back: make(chan struct{}, 10*herdSize)}
	h.d.start()
	for i, key := range keys {
		c := h.d.where().client(t, network, func(cfg *client.Config) {
			cfg.Key = key
			cfg.OnState = func(s client.State) {
				if s.Kind == client.Connected {
					h.back <- struct{}{}
				}
			}
			if i == 0 {
				cfg.Dial = h.dial
			}
		})
		_, err := c.Claim(within(t, 10*time.Second), fmt.Sprintf("org.example.p%d", i), client.ClaimOptions{})
		must(t, err)
	}
	h.await(herdSize)
	<-time.After(toLearn)
	return h
}

// someKeys are n new keys.
func someKeys(n int) (keys []shs.PrivateKey, public []shs.PublicKey) {
	for range n {
		key := shs.GenerateKey()
		keys, public = append(keys, key), append(public, key.Public())
	}
	return keys, public
}

func (h *herd) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		h.first.Store(&conn)
	}
	return conn, err
}

// await waits for n logins, and returns how long they took.
func (h *herd) await(n int) time.Duration {
	h.t.Helper()
	began, late := time.Now(), time.After(slow*30*time.Second)
	for i := range n {
		select {
		case <-h.back:
		case <-late:
			h.t.Fatalf("%d of %d have logged in", i, n)
		}
	}
	return time.Since(began)
}

// F68: all plugins of a server lose it at once, when it is killed. They come back by
// themselves, and not all at once. One that is lost alone does so at once.
func TestF68Herd(t *testing.T) {
	for _, network := range networks() {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			h := newHerd(t, network)
			before := len(h.d.logins())
			h.d.kill()
			<-time.After(time.Second)
			h.d.start()
			took := h.await(herdSize)
			busiest := h.d.came(before)
			<-time.After(toLearn) // that they are as many again
			must(t, (*h.first.Load()).Close())
			alone := h.await(1)
			if alone > atMost(500*time.Millisecond) {
				t.Errorf("one plugin was back after %v, want 500 ms at most", alone)
			}
			report(t, "F68 herd", "%d plugins over %s, their server killed for 1 s: %d logins in the busiest second, the last back %v after it; one that lost its connection alone after %v",
				herdSize, network, busiest, ms(took), alone.Round(time.Millisecond))
		})
	}
}

// F68: the wire is down until all plugins behind it have noticed. They are behind as
// many addresses: of one the server takes 20 connections a second.
func TestF68HerdWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := make([][32]byte, herdSize)
	var lines strings.Builder
	for i := range keys {
		keys[i] = someSeed()
		fmt.Fprintln(&lines, shs.NewPrivateKey(keys[i]).Public())
	}
	w.d.kill()
	must(t, os.WriteFile(w.d.dir+"/authorized_peers", []byte(lines.String()), 0o600))
	w.d.start()
	from := w.crowd(herdSize)
	a := w.stranger(w.b)
	a.call("Herd", HerdArgs{Address: w.d.tcp(), From: from, Seeds: keys}, &None{})
	<-time.After(toLearn)
	before := len(w.d.logins())
	w.wire("down")
	down := time.Duration(times(50, 60)) * time.Second
	<-time.After(down)
	w.wire("up")
	began := time.Now()
	if !eventually(30*time.Second, func() bool { return len(w.d.logins()) >= before+herdSize }) {
		t.Fatalf("%d of %d are back", len(w.d.logins())-before, herdSize)
	}
	took := time.Since(began)
	report(t, "F68 herd", "%d plugins behind a wire that was down for %v: %d logins in the busiest second, the last back %v after it",
		herdSize, down, w.d.came(before), ms(took))
}

// came checks how the herd has come back, behind so many logins, and returns how many
// logins there were in the busiest second.
func (d *daemon) came(before int) int {
	d.t.Helper()
	at := d.logins()[before:]
	if len(at) != herdSize {
		d.t.Errorf("%d logins of %d plugins", len(at), herdSize)
	}
	busiest := most(at, time.Second)
	if busiest > herdRate {
		d.t.Errorf("%d logins in one second, want %d at most", busiest, herdRate)
	}
	return busiest
}

// loginLine is how the log tells of a session's begin.
var loginLine = regexp.MustCompile(`(?m)^time=(\S+) .*msg="session begins"`)

// logins are the times at which sessions began, in order.
func (d *daemon) logins() (at []time.Time) {
	d.t.Helper()
	for _, line := range loginLine.FindAllStringSubmatch(d.log(), -1) {
		when, err := time.Parse(time.RFC3339Nano, line[1])
		must(d.t, err)
		at = append(at, when)
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// most is how many times lie within one span, at most.
func most(at []time.Time, span time.Duration) (n int) {
	first := 0
	for i := range at {
		for at[i].Sub(at[first]) >= span {
			first++
		}
		n = max(n, i-first+1)
	}
	return n
}
