package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// newChannels builds "channels".
func newChannels(a *app) *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "channels",
		Short: "List the open channels of your key",
		Long: `Channels prints a table of the open channels that have an end of your key: who
called whom by which name, whether the server relays them or they have moved to
a direct link (and of which kind), and the bytes each way as far as the server
saw them: OUT from the caller, IN back to it.

--all lists everybody's. It is for the server's administrator, who logs in with
the server's own key: --key FILE.`,
		Example: "  sbctl channels\n  sbctl channels --all --key ~/.config/switchboard/server.key",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				channels, err := c.Channels(ctx, all)
				switch {
				case err != nil:
					return about{"channels", err}
				case asJSON && channels == nil:
					return a.printJSON([]client.Channel{})
				case asJSON:
					return a.printJSON(channels)
				}
				return a.printChannels(channels)
			})
		},
	}
	cmd.AddCommand(newChannelsClose(a))
	cmd.Flags().BoolVar(&all, "all", false, "list everybody's (for administrators)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printChannels prints channels for people.
func (a *app) printChannels(channels []client.Channel) error {
	rows := [][]string{{"CHANNEL", "NAME", "CALLER", "CALLEE", "PATH", "OUT", "IN", "AGE"}}
	for _, c := range channels {
		path := c.State
		if c.Link != "" {
			path = "direct:" + c.Link
		}
		rows = append(rows, []string{
			c.Channel[:min(8, len(c.Channel))], c.Name, channelEnd(c.Caller.ID.String(), c.Caller.Session),
			channelEnd(c.Callee.ID.String(), c.Callee.Session), path, size(c.In), size(c.Out), age(c.Since),
		})
	}
	return term.Table(a.out, a.colour.Head, rows)
}

// channelEnd is a key and its session, short; "-" if no session stands for it.
func channelEnd(key, session string) string {
	if session == "" {
		session = "-"
	}
	return key[:min(7, len(key))] + "… " + session
}

// size is a number of bytes in its largest unit.
func size(n int64) string {
	f, units := float64(n), "BKMGT"
	for f >= 1000 && len(units) > 1 {
		f, units = f/1024, units[1:]
	}
	if units[0] == 'B' {
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%.1f%c", f, units[0])
}
