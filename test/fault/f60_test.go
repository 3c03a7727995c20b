//go:build fault

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// F60: reloads under load, between two lists: no session of who stands in both is
// lost, no claim and no channel of theirs fails; who stands in none is never
// admitted, and what nobody may see is never seen.
func TestF60Reloads(t *testing.T) {
	rounds := times(100, 1000)
	keep := make([]shs.PrivateKey, 6)
	var listed []shs.PublicKey
	for i := range keep {
		keep[i] = shs.GenerateKey()
		listed = append(listed, keep[i].Public())
	}
	m := newManager(t)
	c := newConfigured(t, m.env(0), listed...)
	m.hears("READY=1")
	shy, spare, stranger := shs.GenerateKey(), shs.GenerateKey(), shs.GenerateKey()
	lists := [2]string{
		c.good[c.peers] + fmt.Sprintln(shy.Public(), "see=org.example.seen level=trusted"),
		fmt.Sprintln(spare.Public()) + c.good[c.peers] + fmt.Sprintln("# moved\n"+shy.Public().String(), "level=trusted see=org.example.seen,org.other"),
	}
	c.write(c.peers, lists[0])
	c.hup("keys=7")

	over, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	var wg sync.WaitGroup
	var claims, calls, logins, refused, looks atomic.Int64
	p := c.where()
	sessions := make([]*client.Client, len(keep))
	for i, key := range keep {
		sessions[i] = p.client(t, "tcp", func(cfg *client.Config) { cfg.Key, cfg.NoReconnect = key, true })
	}
	ln, err := sessions[0].Listen(t.Context(), "org.example.seen")
	must(t, err)
	go echoAll(ln)
	_, err = sessions[0].Claim(t.Context(), "org.example.hidden", client.ClaimOptions{})
	must(t, err)
	loop := func(what string, count *atomic.Int64, f func(ctx context.Context) error) {
		wg.Go(func() {
			for over.Err() == nil {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(over), 20*time.Second)
				err := f(ctx)
				cancel()
				if err != nil {
					t.Errorf("%s: %v", what, err)
					stop()
				}
				count.Add(1)
			}
		})
	}
	for i, s := range sessions[1:3] {
		name := fmt.Sprintf("org.example.claim%d", i)
		loop("a claim", &claims, func(ctx context.Context) error {
			if _, err := s.Claim(ctx, name, client.ClaimOptions{}); err != nil {
				return err
			}
			return s.Release(ctx, name)
		})
	}
	for _, s := range sessions[3:5] {
		loop("a channel", &calls, func(ctx context.Context) error {
			conn, err := s.Open(ctx, "org.example.seen", client.OpenOptions{Direct: client.DirectNever})
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err = conn.Write([]byte("x")); err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
			return err
		})
	}
	loop("a login of who is listed", &logins, func(ctx context.Context) error {
		s, err := client.Dial(ctx, client.Config{Address: c.tcp(), Key: keep[5], NoReconnect: true})
		if err == nil {
			s.Close()
		}
		return err
	})
	loop("a login of a stranger", &refused, func(ctx context.Context) error {
		s, err := client.Dial(ctx, client.Config{Address: c.tcp(), Key: stranger, NoReconnect: true})
		if err == nil {
			s.Close()
			return errors.New("it was admitted")
		}
		if !errors.Is(err, shs.ErrRefused) {
			return err
		}
		return nil
	})
	watcher := p.client(t, "tcp", func(cfg *client.Config) { cfg.Key, cfg.NoReconnect = shy, true })
	loop("a look", &looks, func(ctx context.Context) error {
		if _, err := watcher.Lookup(ctx, "org.example.seen"); err != nil {
			return err
		}
		if _, err := watcher.Lookup(ctx, "org.example.hidden"); !errors.Is(err, client.NotFound) {
			return fmt.Errorf("what nobody may see: %v", err)
		}
		return nil
	})

	began := time.Now()
	slowest := time.Duration(0)
	done := 0
	for ; done < rounds && over.Err() == nil; done++ {
		c.write(c.peers, lists[(done+1)%2])
		at := time.Now()
		must(t, c.cmd.Process.Signal(syscall.SIGHUP))
		m.hears("RELOADING=1")
		m.hears("READY=1")
		slowest = max(slowest, time.Since(at))
	}
	took := time.Since(began)
	stop()
	wg.Wait()
	for i, s := range append(sessions, watcher) {
		if _, err := s.WhoAmI(within(t, 10*time.Second)); err != nil {
			t.Errorf("session %d was lost: %v", i, err)
		}
	}
	if log := c.log(); strings.Contains(log, "reload refused") || strings.Count(log, "msg=reloaded") < rounds {
		t.Errorf("%d reloads in the log, want %d, and none refused", strings.Count(log, "msg=reloaded"), rounds)
	}
	c.stop()
	report(t, "F60", "%d reloads in %v, each within %v, under %d claims, %d channels, %d logins and %d looks of who was listed all along: none failed, no session was lost; %d logins of a stranger refused",
		done, ms(took), ms(slowest), claims.Load(), calls.Load(), logins.Load(), looks.Load(), refused.Load())
}
