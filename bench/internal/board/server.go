// Package board puts a switchboard and its Go client under the bench's load.
//
// The server is an ordinary one, but for limits that are raised so that one
// process can stand for thousands of peers (Raised). Clients log in with one of
// 64 keys, which are drawn from a seed that the server leaves beside its socket.
package board

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

const (
	socketFile = "bus.sock"
	seedFile   = "seed"
	seedLen    = 32
	keyCount   = 64 // of all clients together
)

// limits are those of the server: many clients with one key, and more calls,
// channels and names of each than a plugin would need.
func limits() switchboard.Limits {
	return switchboard.Limits{
		Sessions:        1 << 20,
		SessionsPerKey:  1 << 20,
		Admission:       switchboard.Admission{HalfOpenNet: 4096, HalfOpenUnix: 4096, SessionsPerUID: 1 << 20},
		Calls:           1024,
		WatchEvents:     1 << 16,
		WatchBytes:      64 << 20,
		Offers:          4096,
		OffersPerCaller: 4096,
		NamesPerKey:     1 << 20,
		NamesPerTenant:  1 << 20,
		CallRate:        10_000_000,
		CallBurst:       10_000_000,
		OpenRate:        10_000_000,
		OpenBurst:       10_000_000,
	}
}

// Raised names the limits that are not the server's defaults, with their values.
func Raised() string { return strings.Join(raised(reflect.ValueOf(limits())), ", ") }

func raised(v reflect.Value) (all []string) {
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.IsZero():
		case f.Kind() == reflect.Struct:
			all = append(all, raised(f)...)
		default:
			all = append(all, fmt.Sprintf("%s %v", v.Type().Field(i).Name, f))
		}
	}
	return all
}

// Serve runs a server until ctx ends, on a Unix socket in dir and, with tcp, on a
// free port of the loopback interface. ready gets its addresses, as a client
// takes them. dir must be the caller's own.
func Serve(ctx context.Context, dir string, tcp bool, ready func(addr string)) error {
	seed := make([]byte, seedLen)
	rand.Read(seed)
	if err := os.WriteFile(filepath.Join(dir, seedFile), seed, 0o600); err != nil {
		return err
	}
	cfg := switchboard.Config{Key: shs.GenerateKey(), Limits: limits(), Version: "bench", Unmonitored: true}
	socket := filepath.Join(dir, socketFile)
	ln, err := switchboard.Listen(ctx, "unix:"+socket)
	if err != nil {
		return err
	}
	lns := []net.Listener{ln}
	at := []shs.Address{{Network: "unix", Addr: socket, Key: cfg.Key.Public()}}
	if tcp {
		var peers strings.Builder
		for i := range keyCount {
			fmt.Fprintln(&peers, key(seed, i).Public(), "level=trusted")
		}
		if cfg.Policy, err = switchboard.NewPolicy(switchboard.PolicyConfig{Peers: strings.NewReader(peers.String())}); err != nil {
			return errors.Join(err, lns[0].Close())
		}
		ln, err := switchboard.Listen(ctx, "net:127.0.0.1:0")
		if err != nil {
			return errors.Join(err, lns[0].Close())
		}
		lns = append(lns, ln)
		at = append(at, shs.Address{Network: "net", Addr: ln.Addr().String(), Key: cfg.Key.Public()})
	}
	server, err := switchboard.New(cfg)
	if err != nil {
		for _, ln := range lns {
			err = errors.Join(err, ln.Close())
		}
		return err
	}
	ready(shs.FormatAddresses(at))
	return server.Serve(ctx, lns...)
}

// key is one of the clients' keys.
func key(seed []byte, i int) shs.PrivateKey {
	return shs.NewPrivateKey(sha256.Sum256(append(seed[:len(seed):len(seed)], byte(i))))
}

// keys reads the seed beside a server's socket and returns all clients' keys.
func keys(socket string) ([]shs.PrivateKey, error) {
	seed, err := os.ReadFile(filepath.Join(filepath.Dir(socket), seedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the server is none of the bench's: %w", err)
	}
	if err != nil {
		return nil, err
	}
	all := make([]shs.PrivateKey, keyCount)
	for i := range all {
		all[i] = key(seed, i)
	}
	return all, nil
}
