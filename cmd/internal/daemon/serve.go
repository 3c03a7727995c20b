package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/cad2f06c/switchboard/cmd/internal/systemd"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/cmd/internal/version"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// run is the command without a verb: it serves until ctx ends.
func run(ctx context.Context, flags Settings, configFile string) error {
	// From the first moment to the last: without a reader SIGHUP would end the
	// process at once, and leave its sockets behind.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	p, err := newPlan(flags, configFile)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(p.level)
	log := newLogger(os.Stderr, level, p.format)
	notify, err := systemd.FromEnv()
	if err != nil {
		return err
	}
	seen := digest(p.files()) // what changes while we start is read again
	raiseFiles(log)
	key, err := loadKey(p.key, log)
	if err != nil {
		return err
	}
	lns, err := p.open(ctx)
	if err != nil {
		return err
	}
	reloads := &reloader{
		flags: flags, file: configFile, plan: p, log: log, level: level, notify: notify, seen: seen,
		asks: make(chan chan error), gone: make(chan struct{}),
	}
	audit, err := p.openAudit(key, log)
	if err != nil {
		return errors.Join(err, closeAll(lns))
	}
	defer func() {
		if err := audit.Close(); err != nil {
			log.Error("the last records of the audit log are not on the disk", "err", err)
		}
	}()
	srv, err := p.newServer(key, lns, audit, log, reloads)
	if err == nil {
		err = p.announce(os.Stdout, lns, key.Public())
	}
	if err != nil {
		return errors.Join(err, closeAll(lns))
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	over, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop() // before the wait
	limitMemory(srv.Stats().Limits["held_total"], log)
	reloads.srv = srv
	reports := reporter{notify: notify, srv: srv, log: log, drain: p.drain}
	wg.Go(func() { reloads.run(ctx, over, hup) })
	wg.Go(func() { reports.run(ctx, over) })
	return srv.Serve(ctx, lns...)
}

// newServer makes the server that the plan says.
func (p *plan) newServer(
	key shs.PrivateKey, lns []net.Listener, audit *switchboard.Audit, log *slog.Logger, reloads *reloader,
) (srv *switchboard.Server, err error) {
	cfg := switchboard.Config{
		Key: key, NetworkKey: p.networkKey, Policy: p.policy, AdvertiseHost: p.advertise, Version: version.String(), Log: log,
		Limits: p.limits, DrainTimeout: p.drain, Reload: reloads.ask, Audit: audit, Unmonitored: true,
	}
	if p.peersFile != "" {
		cfg.Peers = &switchboard.PeerFiles{Authorized: p.peersFile, Addresses: reachable(lns, key.Public())}
	}
	if p.direct != nil {
		if cfg.DirectKinds, err = switchboard.ParseKinds(p.direct); err != nil {
			return nil, err
		}
	}
	return switchboard.New(cfg)
}

// loadKey loads the server's key, or makes it on first use.
func loadKey(path string, log *slog.Logger) (shs.PrivateKey, error) {
	key, made, err := shs.LoadOrCreateKey(path)
	if err != nil {
		return key, fmt.Errorf("server key: %w", err)
	}
	if made {
		log.Info("made a new server key", "peer", key.Public())
	}
	return key, nil
}

// open opens the listeners: those that systemd passed, and those asked for. The
// default one is opened only if systemd passed none.
func (p *plan) open(ctx context.Context) (lns []net.Listener, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(lns))
		}
	}()
	if lns, err = switchboard.Activated(); err != nil {
		return lns, err
	}
	for _, ln := range lns {
		if ln.Addr().Network() == "unix" {
			continue
		}
		if err := p.needPeers("net:" + ln.Addr().String()); err != nil {
			return lns, usageError{err}
		}
	}
	if len(lns) > 0 && !p.explicit {
		return lns, nil
	}
	for _, addr := range p.listen {
		ln, err := switchboard.Listen(ctx, addr)
		if errors.Is(err, switchboard.ErrListening) || errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w; stop it, or choose another place with --listen", err)
		}
		if err != nil {
			return lns, err
		}
		lns = append(lns, ln)
	}
	return lns, nil
}

// closeAll closes listeners that will not be served.
func closeAll(lns []net.Listener) error {
	var errs []error
	for _, ln := range lns {
		errs = append(errs, ln.Close())
	}
	return errors.Join(errs...)
}

// announce writes the address file, and says where the server listens and what
// to type next. That nobody reads it is no error.
func (p *plan) announce(out io.Writer, lns []net.Listener, key shs.PublicKey) error {
	where, addrs := addresses(lns, key)
	all := shs.FormatAddresses(addrs)
	next := fmt.Sprintf("sbctl --address '%s' list", all)
	if p.writesDefault(lns) {
		next = "sbctl list"
	}
	if p.askedFile || p.writesDefault(lns) {
		if err := writeAddress(p.addressFile, all); err != nil {
			return fmt.Errorf("writing the address file: %w", err)
		}
	}
	fmt.Fprintf(out, "switchboard listens on %s\ntry: %s\n", term.Escape(strings.Join(where, " and ")), term.Escape(next))
	if far := farAddresses(lns, key); far != "" {
		fmt.Fprintf(out, "on other machines: export SWITCHBOARD_ADDRESS='%s'\n", term.Escape(far))
	}
	return nil
}

// addresses is where the listeners listen, and where programs on this machine reach
// them.
func addresses(lns []net.Listener, key shs.PublicKey) (where []string, addrs []shs.Address) {
	for _, ln := range lns {
		a := shs.Address{Network: "net", Addr: dialable(ln.Addr()), Key: key}
		if ln.Addr().Network() == "unix" {
			a.Network = "unix"
		}
		where = append(where, a.Network+":"+ln.Addr().String())
		addrs = append(addrs, a)
	}
	return where, addrs
}

// farAddresses is where other machines reach the TCP listeners: by this
// machine's name where it listens on all its addresses. Without a name there is
// nothing to say about those.
func farAddresses(lns []net.Listener, key shs.PublicKey) string {
	var addrs []shs.Address
	for _, ln := range lns {
		tcp, ok := ln.Addr().(*net.TCPAddr)
		if !ok || tcp.IP.IsLoopback() {
			continue
		}
		a := shs.Address{Network: "net", Addr: tcp.String(), Key: key}
		if tcp.IP.IsUnspecified() {
			host, err := os.Hostname()
			if err != nil || host == "" {
				continue
			}
			a.Addr = net.JoinHostPort(host, strconv.Itoa(tcp.Port))
		}
		addrs = append(addrs, a)
	}
	return shs.FormatAddresses(addrs)
}

// reachable is where a peer with an invite finds the listeners: from other
// machines if it can.
func reachable(lns []net.Listener, key shs.PublicKey) string {
	if far := farAddresses(lns, key); far != "" {
		return far
	}
	_, addrs := addresses(lns, key)
	return shs.FormatAddresses(addrs)
}

// writesDefault reports whether the default address file is this server's to
// write: it listens on the default socket, beside which clients look.
func (p *plan) writesDefault(lns []net.Listener) bool {
	if p.askedFile || p.addressFile == "" {
		return false
	}
	socket := p.defaultSocket
	if dir, err := filepath.EvalSymlinks(filepath.Dir(socket)); err == nil {
		socket = filepath.Join(dir, filepath.Base(socket))
	}
	for _, ln := range lns {
		if ln.Addr().Network() == "unix" && ln.Addr().String() == socket {
			return true
		}
	}
	return false
}

// dialable is the address at which a program on this machine reaches a listener.
func dialable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	loopback := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}
	if tcp.IP.To4() == nil { // it may be IPv6 alone
		loopback.IP = net.IPv6loopback
	}
	return loopback.String()
}

// writeAddress replaces the address file in one step.
func writeAddress(path, text string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".address-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
