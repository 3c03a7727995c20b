package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/cad2f06c/switchboard/internal/paths"
	"github.com/cad2f06c/switchboard/internal/peercred"
	"github.com/cad2f06c/switchboard/shs"
)

// envAddress is where an address is looked for that Config does not give.
const envAddress = "SWITCHBOARD_ADDRESS"

// findAddresses looks for the server in the places of PROTOCOL.md §1.
func findAddresses(cfg *Config) ([]shs.Address, error) {
	if cfg.Address != "" {
		return parseAddresses(cfg, "Config.Address", cfg.Address)
	}
	if s := os.Getenv(envAddress); s != "" {
		return parseAddresses(cfg, envAddress, s)
	}
	set, err := paths.Default(os.Getenv, os.Geteuid())
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not set, and %w", errNoAddress, envAddress, err)
	}
	s, err := paths.ReadAddress(set.Address)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not set, and the address file that a server writes when it starts cannot be used: %w; start one with \"switchboard\", or give an address",
			errNoAddress, envAddress, err)
	}
	return parseAddresses(cfg, set.Address, s)
}

func parseAddresses(cfg *Config, from, s string) ([]shs.Address, error) {
	as, err := cfg.Prepared.ParseAddresses(s)
	if err != nil {
		return nil, fmt.Errorf("address in %s: %w", from, err)
	}
	return as, nil
}

// target is an address and the mode that worked there: later lanes of a
// session go the same way.
type target struct {
	addr shs.Address
	mode shs.Mode
}

// login tries the addresses in order and returns the first connection that
// is authenticated on both sides.
func login(ctx context.Context, cfg *Config, addrs []shs.Address) (*shs.Conn, target, error) {
	var errs []error
	for _, a := range addrs {
		conn, mode, err := loginAt(ctx, cfg, a)
		if err == nil {
			return conn, target{a, mode}, nil
		}
		errs = append(errs, explain(cfg, a, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, target{}, errors.Join(errs...)
}

// loginAt logs in at one address: plain where that is wanted and possible,
// then box if the server refused plain. Never plain after box: whoever can
// spoil a login could then talk the two out of the encryption.
func loginAt(ctx context.Context, cfg *Config, a shs.Address) (*shs.Conn, shs.Mode, error) {
	if cfg.Mode == ModeBox || cfg.Mode == ModeAuto && a.Network != "unix" {
		conn, err := loginBox(ctx, cfg, a)
		return conn, shs.Box, err
	}
	conn, mode, err := loginPlain(ctx, cfg, a)
	if errors.Is(err, shs.ErrRefused) && mode == shs.Plain && cfg.Mode == ModeAuto {
		conn, err = loginBox(ctx, cfg, a)
		return conn, shs.Box, err
	}
	return conn, mode, err
}

// relogin makes another connection to where a session already is.
func relogin(ctx context.Context, cfg *Config, t target) (*shs.Conn, error) {
	if t.mode == shs.Box {
		return loginBox(ctx, cfg, t.addr)
	}
	conn, _, err := loginPlain(ctx, cfg, t.addr)
	return conn, err
}

func loginBox(ctx context.Context, cfg *Config, a shs.Address) (*shs.Conn, error) {
	raw, err := dialRaw(ctx, cfg, a)
	if err != nil {
		return nil, err
	}
	return handshake(ctx, cfg, a, raw, shs.NetworkKey{})
}

// loginPlain logs in under the purpose key of the two kernel uids
// (PROTOCOL.md §2). Under ModeAuto a connection that has no uids is boxed.
func loginPlain(ctx context.Context, cfg *Config, a shs.Address) (*shs.Conn, shs.Mode, error) {
	raw, err := dialRaw(ctx, cfg, a)
	if err != nil {
		return nil, shs.Plain, err
	}
	var plain shs.NetworkKey
	mode := shs.Plain
	server, err := serverUID(raw)
	switch {
	case err == nil:
		plain = cfg.NetworkKey.Plain(uint32(os.Geteuid()), server)
	case cfg.Mode == ModeAuto:
		mode = shs.Box
	default:
		raw.Close()
		return nil, shs.Plain, err
	}
	conn, err := handshake(ctx, cfg, a, raw, plain)
	return conn, mode, err
}

// serverUID returns who listens at the other end of a Unix socket.
func serverUID(raw net.Conn) (uint32, error) {
	if _, ok := raw.(*net.UnixConn); !ok {
		return 0, errNoPlain
	}
	uid, _, err := peercred.UID(raw)
	if err != nil {
		return 0, fmt.Errorf("asking who listens: %w", err)
	}
	return uid, nil
}

func dialRaw(ctx context.Context, cfg *Config, a shs.Address) (net.Conn, error) {
	network := a.Network
	if network == "net" {
		network = "tcp"
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if cfg.Dial != nil {
		return cfg.Dial(ctx, network, a.Addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, a.Addr)
}

// handshake proves both keys under one deadline. It owns raw.
func handshake(ctx context.Context, cfg *Config, a shs.Address, raw net.Conn, plain shs.NetworkKey) (*shs.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := shs.Client(raw, &shs.Config{Key: cfg.Key, Prepared: cfg.Prepared, NetworkKey: cfg.NetworkKey, PlainKey: plain, ServerKey: a.Key})
	if err := conn.Handshake(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	cfg.tune(conn)
	return conn, nil
}

// tune prepares a connection whose other end is known.
func (cfg *Config) tune(conn *shs.Conn) {
	if cfg.Unmonitored {
		conn.Unmonitor(quietFrom)
	}
}

// explain adds to a failed login where it was and what to check: the server says
// nothing to strangers, and who is none says nothing that can be believed.
func explain(cfg *Config, a shs.Address, err error) error {
	err = fmt.Errorf("logging in at %s:%s: %w", a.Network, a.Addr, err)
	switch {
	case errors.Is(err, shs.ErrRefused):
		who := fmt.Sprintf("that the server's authorized_peers lists %s", cfg.Key.Public())
		if a.Network == "unix" {
			who = fmt.Sprintf("that we run as the server's user, whom alone it admits here (over TCP: the keys in its authorized_peers; ours is %s)", cfg.Key.Public())
		}
		return fmt.Errorf("%w; the server tells strangers nothing, so check the address, its server key %s, the network key, the mode (box or plain), and %s", err, a.Key, who)
	case errors.Is(err, shs.ErrHello):
		return fmt.Errorf("%w; what answers there is no switchboard, or one of another network: check the address and the network key", err)
	case errors.Is(err, shs.ErrProof):
		return fmt.Errorf("%w; what answers there does not hold the server key %s: check the address", err, a.Key)
	}
	return err
}
