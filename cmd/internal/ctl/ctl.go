// Package ctl is the sbctl command: its verbs, how they look, and their exit
// codes. Each verb is a file; app holds what they share.
//
// Main is all of it; the command's own folder calls nothing else, so that the
// tests of other commands can run the real sbctl.
package ctl

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/cmd/internal/interrupt"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/cmd/internal/version"
)

const longHelp = `Sbctl looks at a switchboard and talks through it.

It finds the server by --address, then $SWITCHBOARD_ADDRESS, then the file
"address" that a switchboard of the same user writes. It logs in with the key of
--key, then $SWITCHBOARD_KEY, then the user's own, which is made on first use
(user.key in ~/.config/switchboard; root's is in /etc/switchboard).

` + exitHelp

const rootExamples = `  sbctl list                          who is here
  sbctl watch 'org.example.*'         who comes and goes
  sbctl expose web tcp:localhost:80   give a local service a name
  sbctl forward tcp:8080 web          and reach it from a local port
  sbctl connect web                   or from stdin and stdout
  sbctl call switchboard whoami       call a muxrpc method`

// Main runs the command with the arguments of the process and returns its exit
// code.
func Main() int {
	ctx, stop := interrupt.Context()
	defer stop()

	a := &app{in: os.Stdin, out: os.Stdout, log: os.Stderr, colour: term.NewPalette(os.Stdout, os.Getenv)}
	err := newRoot(a).ExecuteContext(ctx)
	code := exitCode(err)
	if ctx.Err() != nil && err != nil && !errors.As(err, new(failure)) {
		code = exitInterrupted
	}
	if code != exitOK && code != exitInterrupted && !errors.As(err, new(quiet)) {
		fmt.Fprintf(os.Stderr, "sbctl: %s\n", message(err))
	}
	return code
}

// newRoot builds the command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "sbctl",
		Short:         "Look at a switchboard and talk through it",
		Long:          longHelp,
		Example:       rootExamples,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown verb %q (see sbctl --help)", args[0])
			}
			return nil
		},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.timeout < 0 {
				return usagef("--timeout %v is negative; 0 is never", a.timeout)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("sbctl {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringVar(&a.address, "address", "", "server `ADDRESS`, as in unix:PATH~shs:KEY or net:HOST:PORT~shs:KEY")
	f.StringVar(&a.keyFile, "key", "", "secret key `FILE` to log in with (default: $SWITCHBOARD_KEY, then your own)")
	f.BoolVar(&a.admin, "admin", false, "log in with the server's own key, as its administrator")
	f.StringVar(&a.networkKey, "network-key", "", "network `KEY`, base64 of 32 bytes")
	f.DurationVar(&a.timeout, "timeout", 10*time.Second, "give up after this `TIME`; 0 is never")
	f.StringVar(&a.mode, "mode", "auto", "`MODE` on Unix sockets: auto, plain or box")
	f.BoolVar(&a.singleLane, "single-lane", false, "do without yamux: a connection for each channel")
	root.AddCommand(
		newList(a), newWatch(a), newInfo(a), newWait(a), newWhoAmI(a), newPing(a),
		newChannels(a), newSessions(a), newStats(a), newAudit(a), newRates(a), newAdmin(a), newDoctor(a), newConnect(a), newExpose(a), newForward(a), newCall(a), newKey(a), newPeers(a), newPolicy(a), newInvite(a), newVersion(a),
	)
	return root
}

// newVersion builds "version".
func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of sbctl",
		Args:  exactly(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.out, "sbctl", version.String())
			return err
		},
	}
}

// exactly asks for n arguments.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

// between asks for from least to most arguments; most < 0 is no bound.
func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("usage: %s", cmd.UseLine())
		}
		return nil
	}
}
