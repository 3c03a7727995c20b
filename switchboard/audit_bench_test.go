package switchboard_test

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/switchboard"
)

// BenchmarkOpenAudited is a connect to its answer, and the end of the channel, on a
// server with an audit log on disk and on one without. The two take turns; medians
// and their ratio are reported.
func BenchmarkOpenAudited(b *testing.B) {
	open := func(dir string) func() time.Duration {
		cfg := switchboard.Config{Key: seeded(0), Limits: switchboard.Limits{
			CallRate: 1 << 30, CallBurst: 1 << 30, OpenRate: 1 << 30, OpenBurst: 1 << 30, ResetRate: 1 << 30, ResetBurst: 1 << 30, UpdateRate: 1 << 30,
		}}
		if dir != "" {
			a, err := switchboard.OpenAudit(switchboard.AuditConfig{Dir: dir, Key: seeded(0)})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { a.Close() })
			cfg.Audit = a
		}
		return opener(b, cfg)
	}
	plain, audited := open(""), open(filepath.Join(b.TempDir(), "audit"))
	var without, with []time.Duration
	for b.Loop() {
		without = append(without, plain())
		with = append(with, audited())
	}
	slices.Sort(without)
	slices.Sort(with)
	w, wo := with[len(with)/2], without[len(without)/2]
	b.ReportMetric(float64(wo.Nanoseconds())/1000, "plain-µs")
	b.ReportMetric(float64(w.Nanoseconds())/1000, "audited-µs")
	b.ReportMetric(float64(w)/float64(wo), "audited/plain")
}

// opener serves, claims a name, and returns what opens and ends a channel to it.
func opener(b *testing.B, cfg switchboard.Config) func() time.Duration {
	srv, err := switchboard.New(cfg)
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
	callee, rpc := s.login()
	s.call(rpc, control.MethodClaim, control.ClaimArgs{Name: echo}, nil)
	caller, _ := s.login()
	wg.Go(func() {
		for {
			st, err := callee.Accept(ctx)
			if err != nil {
				return
			}
			if _, err := muxrpc.ReadPacket(st, control.MaxPeerBody); err == nil {
				_ = muxrpc.WritePacket(st, muxrpc.Packet{Flags: 0x0a, Req: -1, Body: []byte("{}")})
			}
			st.Close()
		}
	})
	return func() time.Duration {
		began := time.Now()
		st, err := caller.Open(ctx)
		if err != nil {
			b.Fatal(err)
		}
		openChannel(b, st)
		took := time.Since(began)
		st.Close()
		return took
	}
}

func openChannel(b *testing.B, st *mux.Stream) {
	err := muxrpc.WritePacket(st, muxrpc.Packet{Flags: 0x0a, Req: 1, Body: []byte(request("connect", "duplex", `{"to":"`+echo+`"}`))})
	if err != nil {
		b.Fatal(err)
	}
	if p, err := muxrpc.ReadPacket(st, control.MaxPeerBody); err != nil || p.Flags != 0x0a {
		b.Fatal(err, p.Flags, string(p.Body))
	}
}
