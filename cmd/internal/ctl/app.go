package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/internal/paths"
	"github.com/cad2f06c/switchboard/shs"
)

// app is what the verbs share: where they read and write, and the flags that
// all of them have.
type app struct {
	in     *os.File
	out    *os.File
	log    *os.File
	colour term.Palette

	address    string
	keyFile    string
	admin      bool
	networkKey string
	timeout    time.Duration
	mode       string
	singleLane bool
}

// limit bounds ctx by --timeout.
func (a *app) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, a.timeout)
}

// once logs in and runs do, all within --timeout, and logs out.
func (a *app) once(ctx context.Context, do func(context.Context, *client.Client) error) error {
	ctx, cancel := a.limit(ctx)
	defer cancel()
	c, err := a.dial(ctx, client.Config{NoReconnect: true})
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, c), c.Close())
}

// stay logs in within --timeout and runs do for as long as ctx lasts, over
// reconnects, which it reports on stderr. That ctx ended is no error.
func (a *app) stay(ctx context.Context, cfg client.Config, do func(context.Context, *client.Client) error) error {
	limited, cancel := a.limit(ctx)
	defer cancel()
	cfg.OnState = a.reporter(ctx)
	c, err := a.dial(limited, cfg)
	if err != nil {
		return err
	}
	err = do(ctx, c)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, c.Close())
}

// reporter returns what says on stderr that the connection was lost or is back.
// It is called one at a time. What comes after ctx was ended, we have done
// ourselves.
func (a *app) reporter(ctx context.Context) func(client.State) {
	lost, refused := false, false
	return func(s client.State) {
		no := errors.Is(s.Err, shs.ErrRefused) || errors.Is(s.Err, shs.ErrProof)
		switch {
		case ctx.Err() != nil:
		case s.Kind == client.Reconnecting && no && !refused:
			lost, refused = true, true
			fmt.Fprintf(a.log, "sbctl: no login any more, still trying: %s\n", term.Error(s.Err))
		case s.Kind == client.Reconnecting && !lost:
			lost = true
			fmt.Fprintf(a.log, "sbctl: the connection to the server was lost; trying again\n")
		case s.Kind == client.Connected && lost:
			lost, refused = false, false
			fmt.Fprintf(a.log, "sbctl: connected again\n")
		}
	}
}

// dial logs in as the flags say. Its errors carry exit codes.
func (a *app) dial(ctx context.Context, cfg client.Config) (*client.Client, error) {
	if err := a.fill(&cfg); err != nil {
		return nil, err
	}
	cfg.Unmonitored = true
	c, err := client.Dial(ctx, cfg)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, failure{exitTimeout, fmt.Errorf("no login within %v (--timeout gives more): %w", a.timeout, err)}
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	}
	return nil, failure{exitNoServer, notRunning(err)}
}

// notRunning adds what to do to the error of a login that met no server.
func notRunning(err error) error {
	missing, isPath := errors.AsType[*fs.PathError](err)
	absent := errors.Is(err, fs.ErrNotExist)
	switch {
	case absent && isPath: // of the address file: no server was named
		return fmt.Errorf("no server found: %s is not there; \"switchboard\" starts one, "+
			"or name one with --address or $SWITCHBOARD_ADDRESS", missing.Path)
	case absent, errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (is it running? \"switchboard\" starts one)", err)
	}
	return err
}

// fill sets what the flags say in cfg.
func (a *app) fill(cfg *client.Config) (err error) {
	cfg.Address = a.address
	if err := a.checkAddress(); err != nil {
		return err
	}
	cfg.SingleLane = a.singleLane
	switch a.mode {
	case "auto":
		cfg.Mode = client.ModeAuto
	case "plain":
		cfg.Mode = client.ModePlain
	case "box":
		cfg.Mode = client.ModeBox
	default:
		return usagef("--mode %.64q: want auto, plain or box", a.mode)
	}
	if a.networkKey != "" {
		if cfg.NetworkKey, err = shs.ParseNetworkKey(a.networkKey); err != nil {
			return usagef("--network-key: %w", err)
		}
		if cfg.NetworkKey.IsZero() { // the library takes it for "the default one"
			return usagef("--network-key: all zeros are not a key")
		}
	}
	cfg.Key, err = a.userKey()
	return err
}

// envAddress is where an address is looked for without --address.
const envAddress = "SWITCHBOARD_ADDRESS"

// checkAddress checks what was given as an address, and that the mode fits it.
func (a *app) checkAddress() error {
	from, text := "--address", a.address
	if text == "" {
		from, text = envAddress, os.Getenv(envAddress)
	}
	if text == "" {
		return nil
	}
	all, err := shs.ParseAddresses(text)
	if err != nil {
		return usagef("%s: %w", from, err)
	}
	if a.mode == "plain" && !slices.ContainsFunc(all, func(at shs.Address) bool { return at.Network == "unix" }) {
		return usagef("--mode plain is for Unix sockets: %s has none", from)
	}
	return nil
}

// checkName refuses what is neither a name nor a session id. Of names it knows
// only that they are not empty: their grammar is the server's.
func checkName(name string) error {
	if name == "" {
		return usagef("the NAME is empty")
	}
	if id, ok := strings.CutPrefix(name, ":"); ok {
		if _, err := strconv.ParseUint(id, 10, 64); err != nil {
			return usagef("%.64q: a session id is a colon and a number, as in :17", name)
		}
	}
	return nil
}

// userKey loads the key to log in with.
func (a *app) userKey() (shs.PrivateKey, error) {
	path, own, err := a.keyPath(a.keyFile)
	if err != nil {
		return shs.PrivateKey{}, err
	}
	return a.loadKey(path, own)
}

// loadKey loads a key; the user's own is made on first use.
func (a *app) loadKey(path string, own bool) (shs.PrivateKey, error) {
	if own {
		key, _, err := shs.LoadOrCreateKey(path)
		return key, err
	}
	key, err := shs.LoadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("there is no key file %s (\"sbctl key new %s\" makes one)", path, path)
	}
	return key, err
}

// envKey is the key file where --key is not given; the examples in other
// languages look there, too.
const envKey = "SWITCHBOARD_KEY"

// keyPath is the given key file, or that of the environment, or the user's own.
func (a *app) keyPath(given string) (path string, own bool, err error) {
	if given == "" && a.admin {
		set, err := paths.Default(os.Getenv, os.Geteuid())
		if set.ServerKey == "" {
			return "", false, fmt.Errorf("finding the server's key: %w (set HOME, or give --key)", err)
		}
		return set.ServerKey, false, nil
	}
	if given == "" {
		given = os.Getenv(envKey)
	}
	if given != "" {
		return given, false, nil
	}
	set, err := paths.Default(os.Getenv, os.Geteuid())
	if set.UserKey == "" {
		return "", true, fmt.Errorf("finding the user's key: %w (set HOME, or give --key)", err)
	}
	return set.UserKey, true, nil
}

// completeName offers the names that are present, for the first argument.
func (a *app) completeName(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	a.timeout = min(a.timeout, time.Second)
	var names []string
	err := a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
		entries, err := c.Names(ctx, "**")
		for _, e := range entries {
			if strings.HasPrefix(e.Name, prefix) {
				names = append(names, e.Name)
			}
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
