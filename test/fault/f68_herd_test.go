//go:build fault

package fault_test

import (
	"fmt"
	"regexp"
	"slices"
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

// F68: all plugins of a server lose it at once, when it is killed. They come back by
// themselves, and not all at once.
func TestF68Herd(t *testing.T) {
	for _, network := range networks() {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			keys := make([]shs.PrivateKey, herdSize)
			var public []shs.PublicKey
			for i := range keys {
				keys[i] = shs.GenerateKey()
				public = append(public, keys[i].Public())
			}
			d := newDaemon(t, public...)
			d.start()
			back := make(chan struct{}, 10*herdSize)
			for i, key := range keys {
				c := d.where().client(t, network, func(cfg *client.Config) {
					cfg.Key = key
					cfg.OnState = func(s client.State) {
						if s.Kind == client.Connected {
							back <- struct{}{}
						}
					}
				})
				_, err := c.Claim(within(t, 10*time.Second), fmt.Sprintf("org.example.p%d", i), client.ClaimOptions{})
				must(t, err)
			}
			for range herdSize {
				<-back
			}
			<-time.After(6 * time.Second) // by when all have been told how many they are
			logins := len(d.logins())
			d.kill()
			<-time.After(time.Second)
			d.start()
			began := time.Now()
			late := time.After(slow * 30 * time.Second)
			for i := range herdSize {
				select {
				case <-back:
				case <-late:
					t.Fatalf("%d of %d are back", i, herdSize)
				}
			}
			took := time.Since(began)
			at := d.logins()[logins:]
			if len(at) != herdSize {
				t.Errorf("%d logins of %d plugins", len(at), herdSize)
			}
			if n := most(at, time.Second); n > herdRate {
				t.Errorf("%d logins in one second, want %d at most", n, herdRate)
			}
			report(t, "F68 herd", "%d plugins over %s, their server killed for 1 s: %d logins in the busiest second, the last back %v after it",
				herdSize, network, most(at, time.Second), ms(took))
		})
	}
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
