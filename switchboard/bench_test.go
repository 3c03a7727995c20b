package switchboard_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// site is a server on a Unix socket, outside any bubble.
type site struct {
	b    testing.TB
	srv  *switchboard.Server
	path string
}

func newSite(b testing.TB) *site {
	b.Helper()
	srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Limits: switchboard.Limits{
		Sessions: 1 << 20, SessionsPerKey: 1 << 20, NamesPerKey: 1 << 20, NamesPerTenant: 1 << 20, CallRate: 1 << 30, CallBurst: 1 << 30,
		WatchEvents: 1 << 20, WatchBytes: 1 << 30, Admission: switchboard.Admission{SessionsPerUID: 1 << 20},
	}})
	if err != nil {
		b.Fatal(err)
	}
	s := &site{b: b, srv: srv, path: filepath.Join(b.TempDir(), "s")}
	ln, err := net.Listen("unix", s.path)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { stop(); wg.Wait() })
	return s
}

// login is a peer with its control lane.
func (s *site) login() (*mux.Session, *muxrpc.Session) {
	raw, err := net.Dial("unix", s.path)
	if err != nil {
		s.b.Fatal(err)
	}
	conn := shs.Client(raw, &shs.Config{Key: seeded(1), ServerKey: s.srv.Key()})
	if err := conn.Handshake(s.b.Context()); err != nil {
		s.b.Fatal(err)
	}
	m := mux.Client(conn, mux.Config{})
	st, err := m.Open(s.b.Context())
	if err != nil {
		s.b.Fatal(err)
	}
	rpc := muxrpc.NewSession(st, muxrpc.Config{MaxBody: control.MaxPeerBody})
	s.b.Cleanup(func() { m.Abort(nil); rpc.Close() })
	return m, rpc
}

func (s *site) call(rpc *muxrpc.Session, method string, arg, result any) {
	if err := rpc.Call(s.b.Context(), method, arg, result); err != nil {
		s.b.Fatal(err)
	}
}

// fill claims n names.
func (s *site) fill(n int) {
	_, rpc := s.login()
	for i := range n {
		s.call(rpc, control.MethodClaim, control.ClaimArgs{Name: fmt.Sprintf("org.example.plugin%d", i)}, nil)
	}
}

// BenchmarkList is names.list as it comes over the wire, read but not decoded: with nothing changed in between, and with one claim.
func BenchmarkList(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		for _, changes := range []int{0, 1} {
			b.Run(fmt.Sprintf("%d/%d", n, changes), func(b *testing.B) {
				s := newSite(b)
				s.fill(n)
				m, rpc := s.login()
				st, err := m.Open(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				req := int32(0)
				page := func(args string) []byte {
					req++
					if err := muxrpc.WritePacket(st, muxrpc.Packet{Flags: 2, Req: req, Body: []byte(request(control.MethodList, "async", args))}); err != nil {
						b.Fatal(err)
					}
					p, err := muxrpc.ReadPacket(st, control.MaxPeerBody)
					if err != nil || p.Flags != 2 {
						b.Fatal(err, p.Flags)
					}
					return p.Body
				}
				b.ReportAllocs()
				for b.Loop() {
					page("")
					if n > 5000 {
						page(`{"after":"org.example.plugin6"}`) // about where the first page ends
					}
					if changes > 0 {
						s.call(rpc, control.MethodClaim, control.ClaimArgs{Name: "x"}, nil)
						s.call(rpc, control.MethodRelease, control.NameArgs{Name: "x"}, nil)
					}
				}
			})
		}
	}
}

// BenchmarkNotify is from before a claim to its event at a watcher.
func BenchmarkNotify(b *testing.B) {
	for _, n := range []int{0, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newSite(b)
			s.fill(n)
			m, _ := s.login()
			st, err := m.Open(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if err := muxrpc.WritePacket(st, muxrpc.Packet{Flags: 10, Req: 1, Body: []byte(request(control.MethodWatch, "source", `{}`))}); err != nil {
				b.Fatal(err)
			}
			read := func() {
				if _, err := muxrpc.ReadPacket(st, control.MaxPeerBody); err != nil {
					b.Fatal(err)
				}
			}
			for range n + 1 {
				read()
			}
			_, rpc := s.login()
			var all []time.Duration
			var wg sync.WaitGroup
			seen := make(chan time.Time, 1)
			wg.Go(func() {
				for {
					_, err := muxrpc.ReadPacket(st, control.MaxPeerBody)
					if err != nil {
						return
					}
					seen <- time.Now()
				}
			})
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				s.call(rpc, control.MethodClaim, control.ClaimArgs{Name: "x"}, nil)
				all = append(all, (<-seen).Sub(begin))
				s.call(rpc, control.MethodRelease, control.NameArgs{Name: "x"}, nil)
				<-seen
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			st.Abort()
			wg.Wait()
		})
	}
}

// BenchmarkLogin is a login with its greeting, both ends together.
func BenchmarkLogin(b *testing.B) {
	s := newSite(b)
	b.ReportAllocs()
	for b.Loop() {
		m, rpc := s.login()
		s.call(rpc, control.MethodWhoAmI, nil, nil)
		m.Close()
		rpc.Close()
	}
}

// BenchmarkWhoAmI is the greeting alone.
func BenchmarkWhoAmI(b *testing.B) {
	s := newSite(b)
	_, rpc := s.login()
	b.ReportAllocs()
	for b.Loop() {
		s.call(rpc, control.MethodWhoAmI, nil, nil)
	}
}

// TestIdleMemory prints what an idle session costs, both ends together and the server's alone as far as they can be told apart.
func TestIdleMemory(t *testing.T) {
	const n = 500
	s := newSite(t)
	measure := func() (heap, stack uint64, goroutines int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, m.StackInuse, runtime.NumGoroutine()
	}
	login := func() {
		_, rpc := s.login()
		s.call(rpc, control.MethodWhoAmI, nil, nil)
	}
	login()
	h0, s0, g0 := measure()
	for range n {
		login()
	}
	h1, s1, g1 := measure()
	t.Logf("a session, both ends: heap %d, stacks %d, goroutines %.1f", (h1-h0)/n, (s1-s0)/n, float64(g1-g0)/n)
}
