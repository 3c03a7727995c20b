//go:build fault

package fault_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// F23: a plugin's key is rotated: the new one has the rights, takes the name over at
// once with another epoch, and the old one is dead when the overlap is over. A
// plugin with the server's own key logs in on the server's machine, and its own
// handshake played back to it does not.
func TestF23Rotated(t *testing.T) {
	old, next, other := shs.GenerateKey(), shs.GenerateKey(), shs.GenerateKey()
	d := enrolling(t, old.Public().String()+" own=org.example.* # plugin", other.Public().String()+" level=trusted")
	c, err := d.far(t, old)
	must(t, err)
	claim := func(c *client.Client) (epoch uint64, err error) {
		var res struct {
			Epoch uint64 `json:"epoch"`
		}
		err = c.Call(within(t, 10*time.Second), "names.claim", map[string]any{"name": "org.example.p", "replace": true}, &res)
		return res.Epoch, err
	}
	first, err := claim(c)
	must(t, err)
	if _, err := d.far(t, next); err == nil {
		t.Fatal("the new key is in before it was signed on")
	}
	const overlap = 3 * time.Second
	until, err := c.Rotate(within(t, 10*time.Second), next, overlap)
	must(t, err)
	again, err := c.Rotate(within(t, 10*time.Second), next, overlap)
	if err != nil || !again.Equal(until) {
		t.Errorf("rotated again: %v, %v, want %v", again, err, until)
	}
	mine, err := d.far(t, next)
	must(t, err)
	stranger, err := d.far(t, other)
	must(t, err)
	if _, err := claim(stranger); !errors.Is(err, client.NameTaken) {
		t.Errorf("another key replaced the owner: %v", err)
	}
	second, err := claim(mine)
	if err != nil || second <= first {
		t.Fatalf("the new key claimed the name: epoch %d after %d, %v", second, first, err)
	}
	if _, err := claim(c); !errors.Is(err, client.NameTaken) {
		t.Errorf("the old key took the name back: %v", err)
	}
	if both, err := d.far(t, old); err != nil {
		t.Errorf("the old key in its overlap: %v", err)
	} else {
		both.Close()
	}
	if !eventually(time.Until(until)+3*time.Second, func() bool {
		_, err := c.WhoAmI(within(t, time.Second))
		return errors.Is(err, client.ErrNotConnected)
	}) {
		t.Error("the session of the old key outlives the overlap")
	}
	dead := time.Since(until)
	if _, err := d.far(t, old); err == nil {
		t.Error("the old key is in after the overlap")
	}
	if _, err := mine.WhoAmI(within(t, 5*time.Second)); err != nil {
		t.Errorf("the new key's session: %v", err)
	}
	d.kill()
	d.start()
	if _, err := d.far(t, old); err == nil {
		t.Error("the old key is in after a restart")
	}
	back, err := d.far(t, next)
	must(t, err)
	back.Close()
	reflect(t, d)
	report(t, "F23", "the name moved from the old key to the new, epoch %d after %d; the old key's session ended %v after the overlap", second, first, dead.Round(time.Millisecond))
}

// reflect plays a peer that has the server's own key its handshake back.
func reflect(t *testing.T, d *daemon) {
	t.Helper()
	same, err := client.Dial(within(t, 10*time.Second), client.Config{Address: d.unix(), Key: d.key, NoReconnect: true})
	must(t, err)
	_, err = same.WhoAmI(within(t, 5*time.Second))
	must(t, err)
	same.Close()
	a, b := net.Pipe()
	go func() { // an echo in the server's place
		buf := make([]byte, 4096)
		for {
			n, err := b.Read(buf)
			if err != nil {
				return
			}
			if _, err := b.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	if err := shs.Client(a, &shs.Config{Key: d.key, ServerKey: d.key.Public()}).Handshake(within(t, 5*time.Second)); err == nil {
		t.Error("a handshake that was played back holds")
	}
	b.Close()
}
