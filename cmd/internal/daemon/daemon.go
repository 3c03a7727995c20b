// Package daemon is the switchboard command: its flags and configuration file,
// the wiring of listeners, keys and log to the server, and how it stops.
//
// Main is all of it; the command's own folder calls nothing else, so that the
// tests of other commands can run the real server.
package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/cmd/internal/interrupt"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/cmd/internal/version"
)

// Exit codes of the switchboard command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // a flag or a setting is wrong; nothing was started
)

// usageError is a mistake in flags or configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

const longHelp = `Switchboard connects programs: each proves its own key, may claim a name, sees
the others come and go, and opens channels to them by name.

Without arguments it makes its key on first use, listens on the default Unix
socket, which only programs of the same user can use, and writes the file
"address" beside it, in which sbctl and the client libraries look. With --listen
it listens there alone; unless the default socket is among them, no address is
written but to --address-file.

TCP ("net:") admits only the keys in the authorized_peers file, one a line, and
is refused without that file. When that file or the configuration changes, and
on SIGHUP, both are read again: sessions over TCP whose key is no longer listed
end; a file with a mistake is logged and changes nothing.

Under systemd the sockets that it passes are served (socket activation), it is
told when the server is ready, reloads and stops, and its watchdog hears of it.
SIGINT or SIGTERM stops gracefully: nobody new comes in, peers are told, open
channels may go on for 30 s (--drain), sockets are removed; a server without
channels stops at once, and a second signal stops any.

Settings come from the flags, then from the configuration file (TOML; the same
names with "_" for "-"; paths in it are relative to its folder), then defaults.
Exit codes: 0 stopped as asked, 1 failed, 2 wrong flag or setting.`

const examples = `  switchboard
  switchboard --listen unix:/run/me/bus.sock
  switchboard --listen unix:/run/me/bus.sock --listen net:0.0.0.0:7483 \
      --authorized-peers ./authorized_peers
  switchboard config check ./switchboard.toml`

// Main runs the command with the arguments of the process and returns its exit
// code.
func Main() int {
	// A reader of our output that goes away must not take the server along.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := interrupt.Context()
	defer stop()

	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(os.Stderr, "switchboard: %s\n", term.Error(err))
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// newCommand builds the command tree.
func newCommand() *cobra.Command {
	var flags Settings
	var configFile string
	root := &cobra.Command{
		Use:               "switchboard",
		Short:             "Run a switchboard",
		Long:              longHelp,
		Example:           examples,
		Version:           version.String(),
		Args:              usageArgs(cobra.NoArgs),
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), flags, configFile)
		},
	}
	root.SetVersionTemplate("switchboard {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see switchboard --help)", err)}
	})
	f := root.Flags()
	f.SortFlags = false
	f.StringArrayVar(&flags.Listen, "listen", nil, "listen on `ADDR`, unix:PATH or net:HOST:PORT (may be repeated)")
	f.StringVar(&flags.Key, "key", "", "the server's secret key `FILE`, made if missing")
	f.StringVar(&flags.AuthorizedPeers, "authorized-peers", "", "`FILE` of the keys that are admitted over TCP")
	f.StringVar(&flags.NetworkKey, "network-key", "", "network `KEY`, base64 of 32 bytes")
	f.StringVar(&flags.AddressFile, "address-file", "", "write the address for clients to `FILE`")
	f.StringSliceVar(&flags.Direct, "direct", nil, "`KINDS` of direct links, of fd,unix,net (default all), \"\" for none")
	f.StringVar(&flags.Advertise, "advertise", "", "`IP` of this machine, for direct links from others")
	f.StringVar(&flags.LogLevel, "log-level", "", "least `LEVEL` logged: debug, info (default), warn, error")
	f.StringVar(&flags.LogFormat, "log-format", "", "`FORMAT` of the log on stderr: text (default) or json")
	f.StringVar(&flags.Drain, "drain", "", "`TIME` for open channels when it stops, such as 30s (default)")
	f.StringVar(&configFile, "config", "", "configuration `FILE`")
	root.AddCommand(newConfigCommand())
	return root
}

// newConfigCommand builds "config check".
func newConfigCommand() *cobra.Command {
	config := &cobra.Command{
		Use:   "config",
		Short: "Look after the configuration file",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("config needs a verb: switchboard config check [FILE]")}
		},
	}
	config.AddCommand(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file and the files it names, start nothing",
		Long: `Check reads FILE, or the default configuration file, and what it names: listen
addresses, key and authorized_peers. Nothing is made or changed. The first mistake
is printed with file and line, and the exit code is 2.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := ""
			if len(args) == 1 {
				file = args[0]
			}
			return check(cmd.OutOrStdout(), file)
		},
	})
	return config
}

// usageArgs marks what an argument check says as a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
		}
		return nil
	}
}
