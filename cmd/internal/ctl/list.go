package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/shs"
)

// newList builds "list".
func newList(a *app) *cobra.Command {
	var asJSON, watch, all bool
	cmd := &cobra.Command{
		Use:   "list [PATTERN]",
		Short: "List the names that are present",
		Long: `List prints a table of the names that are present and visible to your key. In a
PATTERN, * is one element of a name and a ** at the end is one or more; without
one, all names are listed. With --watch the table is printed again whenever it
changes. With --json it is one JSON array, the first key of each entry its name.
--all lists the names of all tenants, and behind them the sessions without a name;
it is for administrators: --admin.`,
		Example: "  sbctl list\n  sbctl list 'org.example.**' --json",
		Args:    between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			match := "**"
			if len(args) == 1 {
				match = args[0]
			}
			print := a.printTable
			if asJSON {
				print = a.printEntries
			}
			if watch && all {
				return usagef("--watch and --all: one of them")
			}
			if watch {
				return a.stay(cmd.Context(), client.Config{}, func(ctx context.Context, c *client.Client) error {
					return a.listAgain(ctx, c, match, print)
				})
			}
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				names := c.Names
				if all {
					names = c.Everybody
				}
				entries, err := names(ctx, match)
				if err != nil {
					return about{match, err}
				}
				return print(entries)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "everybody's, and sessions without a name (for administrators)")
	cmd.Flags().BoolVar(&watch, "watch", false, "print again after each change")
	return cmd
}

// listAgain prints the present names, and again after each change.
func (a *app) listAgain(ctx context.Context, c *client.Client, match string, print func([]client.Entry) error) error {
	present := make(map[string]client.Entry)
	synced := false
	for ev, err := range c.Watch(ctx, match) {
		if err != nil {
			return about{match, err}
		}
		switch {
		case ev.Type == eventLagged:
			clear(present)
			synced = false
		case ev.Type == eventSynced:
			synced = true
		case ev.Entry == nil:
			delete(present, ev.Name)
		default:
			present[ev.Name] = *ev.Entry
		}
		if !synced {
			continue
		}
		if a.colour != (term.Palette{}) {
			fmt.Fprint(a.out, "\x1b[H\x1b[2J") // a terminal: home, clear
		}
		names := slices.Sorted(maps.Keys(present))
		entries := make([]client.Entry, 0, len(names))
		for _, name := range names {
			entries = append(entries, present[name])
		}
		if err := print(entries); err != nil {
			return err
		}
	}
	return nil
}

// printTable prints entries for people.
func (a *app) printTable(entries []client.Entry) error {
	rows := [][]string{{"NAME", "KEY", "SESSION", "VIA", "AGE"}}
	for _, e := range entries {
		if e.Name == "" {
			e.Name = "-"
		}
		rows = append(rows, []string{e.Name, shortKey(e.ID), e.Session, e.Transport, age(e.Since)})
	}
	return term.Table(a.out, a.colour.Head, rows)
}

// printEntries prints entries as one JSON array.
func (a *app) printEntries(entries []client.Entry) error {
	if entries == nil {
		entries = []client.Entry{}
	}
	return a.printJSON(entries)
}

// printJSON prints v as JSON on one line.
func (a *app) printJSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", term.JSON(text))
	return err
}

// shortKey is enough of a key to tell it from a few others.
func shortKey(k shs.PublicKey) string { return k.String()[:9] + "…" }

// age is the time since ms after the Unix epoch, in its largest unit.
func age(ms int64) string {
	d := max(0, time.Since(time.UnixMilli(ms)))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
