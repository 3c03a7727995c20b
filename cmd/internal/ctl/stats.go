package ctl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
)

// newStats builds "stats".
func newStats(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show the server's counters",
		Long: `Stats prints what the server holds now and has counted since its start: sessions,
names, channels, bytes, error answers by code, connections by what became of them,
and how the audit log is. With --json it is one JSON object.
` + forAdmins,
		Example: "  sbctl stats --admin\n  sbctl stats --admin --json",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				s, err := c.Stats(ctx)
				switch {
				case err != nil:
					return refused("stats", err)
				case asJSON:
					return a.printJSON(s)
				}
				return a.printBlock(statsRows(&s))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// statsRows are the counters for people.
func statsRows(s *client.Stats) [][2]string {
	state := "well"
	if s.Degraded != "" {
		state = short("degraded: "+s.Degraded, 80)
	}
	rows := [][2]string{
		{"state", state}, {"up", span(s.UptimeMS)},
		{"policy", fmt.Sprintf("%s, %d keys listed", s.Policy, s.Keys)},
		{"sessions", fmt.Sprintf("%d of %d keys; %d logins", s.Sessions, s.Peers, s.Logins)},
		{"names", fmt.Sprintf("%d, watched by %d", s.Names, s.Watches)},
		{"channels", fmt.Sprintf("%d at the server, %d direct; %d opened, %d moved", s.Relayed, s.Direct, s.Opened, s.Moved)},
		{"bytes", fmt.Sprintf("%s relayed, %s held", size(s.Bytes), size(s.Held))},
		{"calls", fmt.Sprint(s.Calls)},
	}
	rows = append(rows, counted("errors", s.Refused)...)
	rows = append(rows, counted("over limits", s.Over)...)
	rows = append(rows, counted("connections", s.Admission)...)
	rows = append(rows, [2]string{"sources", fmt.Sprintf("%d known, %d barred", s.Sources, s.Barred)})
	if l := s.Audit; l != nil {
		where := "in memory alone"
		if l.Dir != "" {
			where = fmt.Sprintf("%s, %d files", l.Dir, l.Files)
		}
		rows = append(rows, [2]string{"audit", fmt.Sprintf("%d records; %d left out, %d lost", l.Seq, l.Dropped, l.Lost)}, [2]string{"", where})
		for _, sink := range l.Sinks {
			text := fmt.Sprintf("%s: %d sent, %d dropped", sink.Name, sink.Sent, sink.Dropped)
			if sink.Error != "" {
				text += ": " + sink.Error
			}
			rows = append(rows, [2]string{"", short(text, 80)})
		}
	}
	return rows
}

// countsWidth is how long a row of counts gets, in characters.
const countsWidth = 80

// counted are the counts that are not zero, on as many rows as they need.
func counted(title string, counts map[string]int64) (rows [][2]string) {
	var line []string
	length := 0
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		if counts[word] == 0 {
			continue
		}
		text := fmt.Sprintf("%s %d", word, counts[word])
		if length+len(text) > countsWidth {
			rows = append(rows, [2]string{title, strings.Join(line, ", ") + ","})
			title, line, length = "", nil, 0
		}
		line = append(line, text)
		length += len(text) + 2
	}
	if len(line) == 0 {
		line = []string{"none"}
	}
	return append(rows, [2]string{title, strings.Join(line, ", ")})
}

// span is a time in ms, in its largest unit.
func span(ms int64) string { return age(time.Now().UnixMilli() - ms) }
