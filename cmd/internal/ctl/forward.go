package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// newForward builds "forward".
func newForward(a *app) *cobra.Command {
	most := defaultMax
	var r route
	cmd := &cobra.Command{
		Use:   "forward LISTEN NAME",
		Short: "Lead a local port or socket to a plugin",
		Long: `Forward listens on LISTEN and opens a channel to NAME for each connection:
  tcp:PORT        on the loopback address only; port 0 picks a free one
  tcp:HOST:PORT   on that address
  unix:PATH       a Unix socket with mode 0600
It prints where it listens, and runs until SIGINT or SIGTERM, over reconnects.
NAME need not be present when it starts. Whoever can connect to LISTEN speaks with
your key.
` + routeHelp,
		Example: "  sbctl forward tcp:8080 org.example.web\n  sbctl forward unix:./db.sock org.example.db",
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if most < 1 {
				return usagef("--max must be at least 1")
			}
			network, addr, err := parseListen(args[0])
			if err == nil {
				err = checkName(args[1])
			}
			if err != nil {
				return err
			}
			var cfg client.Config
			if err := r.config(&cfg); err != nil {
				return err
			}
			return a.stay(cmd.Context(), cfg, func(ctx context.Context, c *client.Client) error {
				return a.forward(ctx, c, network, addr, args[1], most, &r)
			})
		},
	}
	cmd.Flags().IntVar(&most, "max", defaultMax, "carry at most `N` connections at once")
	r.addTo(cmd)
	return cmd
}

// forward listens and opens a channel for each connection until ctx ends.
func (a *app) forward(ctx context.Context, c *client.Client, network, addr, name string, most int, r *route) error {
	if err := a.knowsName(ctx, c, name); err != nil {
		return err
	}
	ln, err := listenLocal(ctx, network, addr)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.out, "%s:%s leads to %s\n", network, term.Escape(ln.Addr().String()), term.Escape(name)); err != nil {
		return errors.Join(err, ln.Close())
	}
	return a.serve(ctx, ln, most, name, func(ctx context.Context, conn duplex) error {
		limited, cancel := a.limit(ctx)
		defer cancel()
		there, err := openChannel(limited, c, name, r.options(nil))
		if err != nil {
			return errors.Join(err, conn.Abort())
		}
		r.vouch(a, name, there)
		return splice(ctx, conn, there)
	})
}

// knowsName asks the server whether name is a name, or a session id. Whether
// anybody has it is not asked.
func (a *app) knowsName(ctx context.Context, c *client.Client, name string) error {
	if strings.HasPrefix(name, ":") {
		return checkName(name)
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	if _, err := c.Lookup(ctx, name); errors.Is(err, client.NameInvalid) || err != nil && ctx.Err() != nil {
		return about{name, err}
	}
	return nil
}

// parseListen reads tcp:PORT, tcp:HOST:PORT or unix:PATH.
func parseListen(spec string) (network, addr string, err error) {
	network, rest, _ := strings.Cut(spec, ":")
	switch {
	case rest == "":
	case network == "unix" && len(rest) > maxSocketPath:
		return "", "", usagef("socket path %s has %d bytes, the system takes at most %d; choose a shorter one", rest, len(rest), maxSocketPath)
	case network == "unix":
		return network, rest, nil
	case network == "tcp":
		if _, err := strconv.ParseUint(rest, 10, 16); err == nil {
			return network, net.JoinHostPort("127.0.0.1", rest), nil
		}
		if host, port, err := net.SplitHostPort(rest); err == nil && host != "" && port != "" {
			return network, rest, nil
		}
	}
	return "", "", usagef("%q: want tcp:PORT, tcp:HOST:PORT or unix:PATH", spec)
}

// maxSocketPath is how many bytes the path of a Unix socket may have.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// listenLocal listens for the user's own programs. A Unix socket that nobody
// listens on any more is replaced.
func listenLocal(ctx context.Context, network, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	if network == "unix" {
		if fi, err := os.Lstat(addr); err == nil && fi.Mode().Type() == fs.ModeSocket {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "unix", addr)
			switch {
			case err == nil:
				return nil, errors.Join(fmt.Errorf("another program listens on %s", addr), conn.Close())
			case errors.Is(err, syscall.ECONNREFUSED):
				if err := os.Remove(addr); err != nil {
					return nil, fmt.Errorf("removing a stale socket: %w", err)
				}
			}
		}
		// Nothing else in this process makes files now, so its umask is ours.
		old := syscall.Umask(0o177)
		defer syscall.Umask(old)
	}
	ln, err := lc.Listen(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	return ln, nil
}
