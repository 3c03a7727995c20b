package switchboard_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// street is a listener that the server takes for TCP, whose connections come
// from where a test says.
type street struct {
	conns  chan net.Conn
	errs   chan error // what Accept returns first
	closed chan struct{}
	once   sync.Once
	mu     sync.Mutex
	asked  int // Accepts
}

func newStreet() *street {
	return &street{conns: make(chan net.Conn), errs: make(chan error, 1000), closed: make(chan struct{})}
}

func (s *street) Accept() (net.Conn, error) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	select {
	case err := <-s.errs:
		return nil, err
	default:
	}
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *street) Close() error   { s.once.Do(func() { close(s.closed) }); return nil }
func (s *street) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 254), Port: 7} }

// comer is a connection that has come from an address.
type comer struct {
	net.Conn
	from net.Addr
}

func (c comer) RemoteAddr() net.Addr { return c.from }

// from connects from an address.
func (s *street) from(t *testing.T, ip string) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	s.conns <- comer{theirs, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}
	t.Cleanup(func() { ours.Close() })
	return ours
}

// streetBubble runs f with a server on a street, which admits key 1 there, and
// in process; log gets what it logs.
func streetBubble(t *testing.T, cfg switchboard.Config, f func(t *testing.T, h *host, s *street)) (log string) {
	var said lines
	synctest.Test(t, func(t *testing.T) {
		cfg.Key, cfg.Policy = seeded(0), listed(1)
		cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
		srv, err := switchboard.New(cfg)
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		s := newStreet()
		h := &host{t: t, srv: srv, local: switchboard.NewLocal(), stop: stop}
		h.wg.Go(func() { h.err = srv.Serve(ctx, h.local, s) })
		f(t, h, s)
		stop()
		h.wg.Wait()
		if left := srv.Leftovers(); h.err != nil || left != "" {
			t.Errorf("Serve returned %v and left %q", h.err, left)
		}
	})
	return said.text()
}

type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// login shakes hands with the n-th key.
func (h *host) login(raw net.Conn, n byte) error {
	return shs.Client(raw, &shs.Config{Key: seeded(n), ServerKey: h.srv.Key()}).Handshake(h.t.Context())
}

// F05: four logins by a key that is not listed bar their address for 20 s, and
// nobody else; then it is as good as any.
func TestPenaltyRunsOut(t *testing.T) {
	log := streetBubble(t, switchboard.Config{}, func(t *testing.T, h *host, s *street) {
		for range 4 {
			if err := h.login(s.from(t, "192.0.2.1"), 2); !errors.Is(err, shs.ErrRefused) {
				t.Fatalf("a stranger: %v", err)
			}
		}
		synctest.Wait()
		for range 19 {
			began := time.Now()
			if n, err := s.from(t, "192.0.2.1").Read(make([]byte, 1)); n > 0 || err != io.EOF || time.Since(began) > 0 {
				t.Errorf("barred: %d bytes, %v after %v, want an end at once", n, err, time.Since(began))
			}
			must(t, h.login(s.from(t, "192.0.2.2"), 1))
			time.Sleep(time.Second)
		}
		if h.srv.Barred() != 1 {
			t.Errorf("%d sources are barred", h.srv.Barred())
		}
		time.Sleep(time.Second)
		must(t, h.login(s.from(t, "192.0.2.1"), 1))
		synctest.Wait()
		counts := h.srv.AdmissionCounts()
		if counts["failed_auth"] != 4 || counts["refused_penalty"] != 19 || counts["logged_in"] != 20 {
			t.Errorf("counts %v", counts)
		}
	})
	if strings.Count(log, `msg="source barred" source=192.0.2.1 for=20s reason=failed_auth`) != 1 {
		t.Errorf("the log does not say once who is barred: %s", log)
	}
}

// A full pool makes room for newcomers; who stalled is closed, and a login gets
// through whatever came before it. What is left is closed when its time is up, and
// its source pays.
func TestHalfOpenFull(t *testing.T) {
	limits := switchboard.Limits{Admission: switchboard.Admission{HalfOpenNet: 4}}
	streetBubble(t, switchboard.Config{Limits: limits}, func(t *testing.T, h *host, s *street) {
		for i := range 20 {
			stalled := s.from(t, net.IPv4(198, 51, 100, byte(i)).String())
			if _, err := stalled.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
			must(t, h.login(s.from(t, "192.0.2.1"), 1))
			synctest.Wait()
			if h.srv.HalfOpen() > 4 {
				t.Fatalf("%d connections are in handshake, want 4 at most", h.srv.HalfOpen())
			}
		}
		if got := h.srv.AdmissionCounts()["evicted"]; got != 17 {
			t.Errorf("%d were evicted, want 17", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if counts := h.srv.AdmissionCounts(); h.srv.HalfOpen() != 0 || counts["failed_timeout"] != 3 {
			t.Errorf("after 5 s %d are in handshake; counts %v", h.srv.HalfOpen(), counts)
		}
	})
}

// A source has a number of sessions; the next is refused, costs nothing and is
// admitted when one is over.
func TestSessionsOfSource(t *testing.T) {
	limits := switchboard.Limits{Admission: switchboard.Admission{SessionsPerSource: 2}}
	streetBubble(t, switchboard.Config{Limits: limits}, func(t *testing.T, h *host, s *street) {
		first := s.from(t, "192.0.2.1")
		must(t, h.login(first, 1))
		must(t, h.login(s.from(t, "192.0.2.1"), 1))
		for range 10 {
			if err := h.login(s.from(t, "192.0.2.1"), 1); !errors.Is(err, shs.ErrRefused) {
				t.Fatalf("over the bound: %v", err)
			}
		}
		must(t, h.login(s.from(t, "192.0.2.2"), 1))
		first.Close()
		synctest.Wait()
		must(t, h.login(s.from(t, "192.0.2.1"), 1))
		synctest.Wait()
		if counts := h.srv.AdmissionCounts(); counts["refused_sessions"] != 10 || h.srv.Barred() != 0 {
			t.Errorf("counts %v, barred %d", counts, h.srv.Barred())
		}
	})
}

// F71: a panic in what serves a session ends that session; another session
// lives, the source pays, the stack is logged and the panic is counted.
func TestPanic(t *testing.T) {
	cfg := switchboard.Config{Direct: func(q switchboard.DirectQuery) switchboard.DirectGrant { panic("injected") }}
	log := streetBubble(t, cfg, func(t *testing.T, h *host, s *street) {
		near := h.mux(2)
		ctl := h.open(near)
		ctl.call(1, "names.claim", `{"name":"`+echo+`"}`)
		for i := range 2 {
			conn := shs.Client(s.from(t, net.IPv4(192, 0, 2, byte(i)).String()), &shs.Config{Key: seeded(1), ServerKey: h.srv.Key()})
			must(t, conn.Handshake(t.Context()))
			p := h.open(mux.Client(conn, mux.Config{}))
			p.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`","direct":["net"]}`))
			p.wantCutOrNothing()
			ctl.call(int32(2+i), "ping", "")
		}
		synctest.Wait()
		if counts := h.srv.AdmissionCounts(); counts["panics"] != 2 || h.srv.Barred() != 2 {
			t.Errorf("counts %v, barred %d", counts, h.srv.Barred())
		}
		mend := h.srv.Sabotage()
		if err := h.login(s.from(t, "192.0.2.9"), 1); !errors.Is(err, shs.ErrRefused) {
			t.Errorf("a login that panics: %v", err)
		}
		synctest.Wait()
		mend()
		must(t, h.login(s.from(t, "192.0.2.10"), 1))
	})
	for _, want := range []string{`msg=panic`, "source=192.0.2.0", `injected`, "admission_test.go", `msg="session ends"`, "source=192.0.2.9", "for=1m30s reason=panics"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %s: %s", want, log)
		}
	}
}

// F45: while there are no descriptors accept closes who stalls, then pauses,
// longer each time, and goes on when there are some.
func TestAcceptScarce(t *testing.T) {
	streetBubble(t, switchboard.Config{}, func(t *testing.T, h *host, s *street) {
		stalled := s.from(t, "192.0.2.1")
		synctest.Wait()
		for range 60 {
			s.errs <- &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
		}
		s.from(t, "192.0.2.3") // to the Accept that was waiting
		began := time.Now()
		if _, err := stalled.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("who stalled: %v, want the end", err)
		}
		time.Sleep(30 * time.Second)
		s.mu.Lock()
		asked := s.asked
		s.mu.Unlock()
		if asked < 30 || asked > 45 {
			t.Errorf("%d Accepts in 30 s", asked)
		}
		must(t, h.login(s.from(t, "192.0.2.2"), 1))
		if took := time.Since(began); took < 45*time.Second || took > 60*time.Second {
			t.Errorf("the first login after %v", took)
		}
		synctest.Wait()
		if counts := h.srv.AdmissionCounts(); counts["scarce"] != 60 || counts["shed"] != 2 {
			t.Errorf("counts %v", counts)
		}
	})
}
