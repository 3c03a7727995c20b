package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/cad2f06c/switchboard/cmd/internal/systemd"
	"github.com/cad2f06c/switchboard/switchboard"
)

// reloader reads configuration and peers again while the server runs. What is
// not in order changes nothing.
type reloader struct {
	flags  Settings
	file   string // of the configuration, as asked for
	plan   plan   // in force
	srv    reloadable
	log    *slog.Logger
	level  *slog.LevelVar
	notify *systemd.Notifier
	seen   string // digest of the files as they were last read

	asks chan chan error // from ask
	gone chan struct{}   // closed when run is over
}

// reloadable is what a reloader asks of the server.
type reloadable interface {
	SetPolicy(*switchboard.Policy) error
	ReloadFailed(why string, err error)
}

// ask reloads because a call of an administrator asks for it.
func (r *reloader) ask(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case r.asks <- done:
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case <-r.gone:
		return errStopping
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errStopping = errors.New("the server is stopping")

// run reloads whenever a signal comes on hup or the files change, until the server
// is over: while it stops, too, who is out has no channel. The service manager is not
// told then, to whom it stops.
func (r *reloader) run(stopping, over context.Context, hup <-chan os.Signal) {
	defer close(r.gone)
	keep(r.log, over.Done(), func() { r.serve(stopping, over, hup) })
}

// serve is run until a panic.
func (r *reloader) serve(stopping, over context.Context, hup <-chan os.Signal) {
	watch := newFileWatch(r.log)
	defer watch.close()
	watch.set(r.plan.files())
	watch.look() // at what has changed until now
	stop := stopping.Done()
	for ; ; watch.set(r.plan.files()) {
		select {
		case <-stop:
			stop, r.notify = nil, nil
		case <-over.Done():
			return
		case <-hup:
			r.reload("SIGHUP")
		case done := <-r.asks:
			done <- r.reload("an administrator's call")
		case <-watch.settled:
			if digest(r.plan.files()) != r.seen {
				r.reload("a file has changed")
			}
		}
	}
}

// reload reads everything, and swaps what may change while the server runs.
func (r *reloader) reload(why string) error {
	if err := r.notify.Reloading(); err != nil {
		r.log.Warn("reloading", "err", err)
	}
	r.seen = digest(r.plan.files()) // before it is read: what changes meanwhile is seen again
	err := guarded(r.log, func() error {
		next, err := r.read()
		if err != nil {
			return err
		}
		return r.swap(next)
	})
	if err != nil {
		r.log.Error("reload refused; all stays as it was", "why", why, "err", err)
		r.srv.ReloadFailed(why, err)
	} else {
		r.log.Info("reloaded", "why", why, "keys", r.plan.policy.Keys())
	}
	if err := r.notify.Ready(""); err != nil {
		r.log.Warn("reloading", "err", err)
	}
	return err
}

// read makes a plan of the files as they are now.
func (r *reloader) read() (plan, error) {
	next, err := newPlan(r.flags, r.file)
	if err == nil && r.plan.needed {
		err = next.needPeers("reload")
	}
	return next, err
}

// swap puts a plan in force, as far as that goes without a restart.
func (r *reloader) swap(next plan) error {
	later := r.plan.differs(next)
	if err := r.srv.SetPolicy(next.policy); err != nil {
		return err
	}
	r.level.Set(next.level)
	r.plan.policy, r.plan.level, r.plan.peersFile = next.policy, next.level, next.peersFile
	if len(later) > 0 {
		r.log.Warn("these settings take effect with the next start", "settings", strings.Join(later, ", "))
	}
	return nil
}

// differs lists the settings in which two plans differ and that cannot be
// swapped.
func (p *plan) differs(next plan) (names []string) {
	for _, s := range []struct {
		name string
		same bool
	}{
		{"listen", slices.Equal(p.listen, next.listen)},
		{"key", p.key == next.key},
		{"network_key", p.networkKey == next.networkKey},
		{"address_file", p.addressFile == next.addressFile},
		{"direct", slices.Equal(p.direct, next.direct)},
		{"advertise", p.advertise == next.advertise},
		{"log_format", p.format == next.format},
		{"drain", p.drain == next.drain},
		{"limits", reflect.DeepEqual(p.limits, next.limits)},
		{"audit", reflect.DeepEqual(p.audit, next.audit)},
	} {
		if !s.same {
			names = append(names, s.name)
		}
	}
	return names
}

// files are those that a reload reads, whether they are there or not.
func (p *plan) files() (paths []string) {
	if p.configFile != "" {
		paths = append(paths, p.configFile)
	}
	if p.peersFile != "" {
		paths = append(paths, p.peersFile, p.revokedFile())
	}
	return paths
}

// loadPolicy makes the policy of the settings and the files that they name:
// authorized_peers, which may be missing where nobody has asked for it, and
// revoked_peers beside it.
func (p *plan) loadPolicy(s Settings) error {
	cfg := switchboard.PolicyConfig{Bundles: s.Levels, Tenants: s.Tenants,
		Listed: s.Defaults.Listed, ListedAt: s.Defaults.listedAt, Local: s.Defaults.Local, LocalAt: s.Defaults.localAt}
	if p.peersFile != "" {
		cfg.PeersFile, cfg.PeersMayMiss, cfg.RevokedFile = p.peersFile, s.AuthorizedPeers == "", p.revokedFile()
		fi, err := os.Stat(p.peersFile)
		if err == nil && fi.Mode().IsRegular() && fi.Size() == 0 {
			// It may be one that is being written, and would lock everybody out.
			return fmt.Errorf("authorized peers: %s: the file is empty; if nobody is to be listed, a # comment says so", p.peersFile)
		}
		p.listed = !errors.Is(err, fs.ErrNotExist)
	}
	var err error
	if p.policy, err = switchboard.NewPolicy(cfg); err != nil {
		return fmt.Errorf("authorized peers: %w", err)
	}
	return nil
}

// revokedFile is where keys stand that are refused whatever else is said.
func (p *plan) revokedFile() string { return filepath.Join(filepath.Dir(p.peersFile), "revoked_peers") }

// needPeers is for a TCP listener, which admits only listed keys.
func (p *plan) needPeers(addr string) error {
	p.needed = true
	if !p.listed {
		return errNoPeers(addr, p.peersFile)
	}
	return nil
}
