package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/cmd/internal/systemd"
	"github.com/cad2f06c/switchboard/switchboard"
)

// trap is a server that panics as often as it is told.
type trap struct {
	panics  atomic.Int32
	policy  atomic.Pointer[switchboard.Policy]
	refused atomic.Int32
}

func (s *trap) spring() {
	if s.panics.Add(-1) >= 0 {
		panic("a trap")
	}
}

func (s *trap) SetPolicy(p *switchboard.Policy) error {
	s.spring()
	s.policy.Store(p)
	return nil
}

func (s *trap) ReloadFailed(string, error) { s.refused.Add(1) }

func (s *trap) Health(context.Context) (switchboard.Health, error) {
	s.spring()
	return switchboard.Health{}, nil
}

// ears are a log that tells its records.
type ears chan slog.Record

func (ears) Enabled(context.Context, slog.Level) bool { return true }
func (e ears) WithAttrs([]slog.Attr) slog.Handler     { return e }
func (e ears) WithGroup(string) slog.Handler          { return e }

func (e ears) Handle(_ context.Context, r slog.Record) error {
	e <- r
	return nil
}

// hears waits for a record.
func (e ears) hears(t *testing.T, msg string) {
	t.Helper()
	for {
		select {
		case r := <-e:
			if r.Message == msg {
				return
			}
		case <-time.After(time.Minute):
			t.Fatalf("the log does not say %q", msg)
		}
	}
}

// TestReloadPanics: the old rules stay, whoever asked is told, and the next reload
// works; also behind a panic of the loop itself.
func TestReloadPanics(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte("[defaults]\nlocal = \"basic\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := Settings{Listen: []string{"unix:" + dir + "/s"}, Key: dir + "/key"}
	before, err := newPlan(flags, conf)
	if err != nil {
		t.Fatal(err)
	}
	srv, log := new(trap), make(ears, 100)
	r := &reloader{flags: flags, file: conf, plan: before, srv: srv, log: slog.New(log), level: new(slog.LevelVar),
		seen: digest(before.files()), asks: make(chan chan error), gone: make(chan struct{})}
	over, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.run(over, over, nil) })
	defer wg.Wait()
	defer stop()

	srv.panics.Store(1)
	if err := r.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "a trap") {
		t.Errorf("a reload that panics: %v", err)
	}
	log.hears(t, "panic")
	log.hears(t, "reload refused; all stays as it was")
	if srv.refused.Load() != 1 || srv.policy.Load() != nil {
		t.Errorf("it was refused %d times, and %v set", srv.refused.Load(), srv.policy.Load())
	}
	if err := r.ask(t.Context()); err != nil || srv.policy.Load() == nil || srv.policy.Load() == before.policy {
		t.Errorf("the next reload: %v", err)
	}
	log.hears(t, "reloaded")
	gone := make(chan error)
	close(gone)
	r.asks <- gone // who asks so makes the answer panic
	log.hears(t, "panic")
	if err := r.ask(t.Context()); err != nil {
		t.Errorf("behind a panic of the loop: %v", err)
	}
	stop()
	wg.Wait()
	if err := r.ask(t.Context()); !errors.Is(err, errStopping) {
		t.Errorf("at the end: %v", err)
	}
	if r.plan.policy != srv.policy.Load() {
		t.Error("the plan is not what is in force")
	}
}

// TestReportPanics: the service manager hears of a server that is ready all the same.
func TestReportPanics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	notify, err := systemd.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	srv, log := new(trap), make(ears, 100)
	srv.panics.Store(1)
	r := reporter{notify: notify, srv: srv, log: slog.New(log)}
	over, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.run(over, over) })
	defer wg.Wait()
	defer stop()
	log.hears(t, "panic")
	b := make([]byte, 1024)
	n, err := manager.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "READY=1") {
		t.Errorf("the manager heard %q, %v", b[:n], err)
	}
}

// TestFileWatchPanics: it ends nothing, and the watch can be closed.
func TestFileWatchPanics(t *testing.T) {
	dir, log := t.TempDir(), make(ears, 100)
	w := &fileWatch{settled: make(chan struct{}), log: slog.New(log), dirs: make(map[string]bool)}
	close(w.settled) // to tell of a change panics
	w.start()
	w.set([]string{filepath.Join(dir, "conf")})
	if err := os.WriteFile(filepath.Join(dir, "conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log.hears(t, "panic")
	w.close()
}
