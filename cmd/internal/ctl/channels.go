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
saw them. It sees none of a direct link, so there they are at least so many: 16B+.
A direct channel neither end of which has a session is "lost": within a minute it
is over, or one end is back. A name that has no room is cut in front; --json has
all of it, with "in" for TO-CALLEE and "out" for TO-CALLER.

--all lists everybody's. It is for administrators: --admin logs in with the
server's own key.`,
		Example: "  sbctl channels\n  sbctl channels --all --admin",
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

// printChannels prints channels for people, in at most tableWidth columns.
func (a *app) printChannels(channels []client.Channel) error {
	rows := [][]string{{"CHANNEL", "NAME", "CALLER", "CALLEE", "PATH", "TO-CALLEE", "TO-CALLER", "AGE"}}
	for _, c := range channels {
		path, more := c.State, ""
		if c.Link != "" {
			path, more = "direct:"+c.Link, "+"
			if c.Caller.Session == "" && c.Callee.Session == "" {
				path = "lost"
			}
		}
		rows = append(rows, []string{
			c.Channel[:min(8, len(c.Channel))], c.Name, channelEnd(c.Caller.ID.String(), c.Caller.Session),
			channelEnd(c.Callee.ID.String(), c.Callee.Session), path, size(c.In) + more, size(c.Out) + more, age(c.Since),
		})
	}
	fit(rows, 1)
	return term.Table(a.out, a.colour.Head, rows)
}

const tableWidth = 100

// fit cuts what stands in a column in front, so that the table is no wider than
// tableWidth. Its end tells names of one domain apart.
func fit(rows [][]string, column int) {
	room := tableWidth
	for i := range rows[0] {
		if i == column {
			continue
		}
		widest := 0
		for _, row := range rows {
			widest = max(widest, len([]rune(row[i])))
		}
		room -= widest + 2
	}
	room = max(room, 8)
	for _, row := range rows {
		if text := term.Escape(row[column]); len(text) > room {
			row[column] = "…" + text[len(text)-room+1:]
		}
	}
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
