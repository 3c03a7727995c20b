package client_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"strings"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
)

// TestHTTP runs net/http's server and client over channels, unmodified.
func TestHTTP(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			plugin, caller := dial(t, m.cfg), dial(t, m.cfg)
			ln, err := plugin.Listen(short(t), "org.example.web")
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%s %s from %s", r.Host, body, r.RemoteAddr)
			})}
			var wg sync.WaitGroup
			wg.Go(func() { srv.Serve(ln) })
			tr := &http.Transport{DialContext: caller.DialContext}
			hc := &http.Client{Transport: tr}
			me, err := caller.WhoAmI(short(t))
			if err != nil {
				t.Fatal(err)
			}
			var calls sync.WaitGroup
			for i := range 20 {
				calls.Go(func() {
					big := strings.Repeat("x", 10_000*i)
					resp, err := hc.Post("http://org.example.web/", "text/plain", strings.NewReader(big))
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					got, err := io.ReadAll(resp.Body)
					if want := "org.example.web " + big + " from " + me.ID.String(); err != nil || string(got) != want {
						t.Errorf("got %.100q…, %v, want %.100q…", got, err, want)
					}
				})
			}
			calls.Wait()
			tr.CloseIdleConnections()
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
		})
	}
}

// Arith is a net/rpc service.
type Arith struct{}

// Mul multiplies.
func (Arith) Mul(args [2]int, out *int) error {
	*out = args[0] * args[1]
	return nil
}

// TestRPC runs net/rpc over a channel, unmodified.
func TestRPC(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			plugin, caller := dial(t, m.cfg), dial(t, m.cfg)
			ln, err := plugin.Listen(short(t), "org.example.arith")
			if err != nil {
				t.Fatal(err)
			}
			srv := rpc.NewServer()
			if err := srv.Register(Arith{}); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					wg.Go(func() { srv.ServeConn(conn) })
				}
			})
			conn, err := caller.DialContext(short(t), "", "org.example.arith")
			if err != nil {
				t.Fatal(err)
			}
			rc := rpc.NewClient(conn)
			var got int
			if err := rc.Call("Arith.Mul", [2]int{6, 7}, &got); err != nil || got != 42 {
				t.Fatalf("got %d, %v", got, err)
			}
			rc.Close()
			ln.Close()
			wg.Wait()
		})
	}
}

// TestBothWays pushes bytes in both directions at once and counts them.
func TestBothWays(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			a, b := dial(t, m.cfg), dial(t, m.cfg)
			c1, c2 := pair(t, a, b, "test.both")
			const size = 4 << 20
			var wg sync.WaitGroup
			for _, c := range []*channel.Conn{c1, c2} {
				wg.Go(func() {
					if _, err := io.CopyN(c, zeros{}, size); err != nil {
						t.Error(err)
					}
					c.CloseWrite()
				})
				wg.Go(func() {
					if n, err := io.Copy(io.Discard, c); n != size || err != nil {
						t.Errorf("got %d bytes, %v", n, err)
					}
				})
			}
			wg.Wait()
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

var (
	_ net.Conn     = (*channel.Conn)(nil)
	_ net.Listener = (*client.Listener)(nil)
)
