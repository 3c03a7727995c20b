package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/internal/audit"
)

// newAudit builds "audit".
func newAudit(a *app) *cobra.Command {
	var q client.AuditQuery
	var since, until string
	var asJSON bool
	n := 100
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what, and who was refused",
		Long: `Audit prints the newest records of the server's audit log, the oldest of them
first: time, event, who, and what is told of it, cut to 100 columns. --json prints
the whole records as they stand in the log, one a line.

--peer picks a key wherever it stands: who did it, to whom, or about whom. --since
and --until take a time such as 2026-01-31T12:00:00Z, "2026-01-31 12:00", or how
long ago, such as 10m. The server knows its newest 10,000 records; older ones are
in its files.
` + forAdmins,
		Example: `  sbctl audit --admin
  sbctl audit --admin --event not_allowed --since 1h
  sbctl audit --admin --follow --json
  sbctl audit verify`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = parseMoment("--since", since); err != nil {
				return err
			}
			if q.Until, err = parseMoment("--until", until); err != nil {
				return err
			}
			if n < 0 {
				return usagef("-n %d: want 0 or more", n)
			}
			q.N = &n
			show := func(ctx context.Context, c *client.Client) error { return a.showAudit(ctx, c, q, asJSON) }
			if q.Follow {
				return a.stay(cmd.Context(), client.Config{NoReconnect: true}, show)
			}
			return a.once(cmd.Context(), show)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVarP(&n, "number", "n", n, "at most so `MANY`")
	f.StringVar(&q.Event, "event", "", "only this `EVENT`")
	f.StringVar(&q.Peer, "peer", "", "only what concerns this `KEY`")
	f.StringVar(&q.Name, "name", "", "only what concerns this `NAME`")
	f.StringVar(&since, "since", "", "from this `TIME` on")
	f.StringVar(&until, "until", "", "up to this `TIME`")
	f.BoolVar(&q.Follow, "follow", false, "go on with what comes")
	f.BoolVar(&asJSON, "json", false, "print JSON, one record a line")
	cmd.AddCommand(newAuditVerify(a))
	return cmd
}

func (a *app) showAudit(ctx context.Context, c *client.Client, q client.AuditQuery, asJSON bool) error {
	for raw, err := range c.Audit(ctx, q) {
		if err != nil {
			return refused("audit", err)
		}
		text := string(term.JSON(raw))
		if !asJSON {
			if text, err = recordLine(raw); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(a.out, "%s\n", text); err != nil {
			return err
		}
	}
	return nil
}

// auditWidth is how long a record's line for people is, in characters.
const auditWidth = 100

// recordLine is a record for people.
func recordLine(raw json.RawMessage) (string, error) {
	var r audit.Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return "", fmt.Errorf("a record of the server: %w", err)
	}
	who := r.Actor
	if who == "" {
		who = r.Source
	}
	if strings.HasPrefix(who, "@") {
		who = short(who, 11)
	}
	if who == "" {
		who = "-"
	}
	line := fmt.Sprintf("%s %-13s %s", r.Time().Local().Format("2006-01-02 15:04:05"), r.Event.Event, who)
	for _, d := range details(&r) {
		line += " " + d
	}
	return clip(term.Escape(line), auditWidth), nil
}

// details are what a record tells beside time, event and actor, what matters first.
func details(r *audit.Record) (all []string) {
	add := func(key, value string) {
		if value != "" {
			all = append(all, key+value)
		}
	}
	name := r.Name
	if name != "" && r.Tenant != "" && r.Tenant != "default" {
		name = r.Tenant + "/" + name
	}
	add("", name)
	if r.Peer != "" {
		add("peer=", short(r.Peer, 11))
	}
	if strings.HasPrefix(r.Target, "@") {
		add("target=", short(r.Target, 11))
	} else {
		add("target=", r.Target)
	}
	add("", r.Reason)
	if r.Rule != "" {
		add("rule=", "\""+r.Rule+"\"")
	}
	if r.Bytes > 0 {
		add("", size(r.Bytes))
	}
	if r.Dur > 0 {
		add("", r.Dur.Round(time.Millisecond).String())
	}
	if r.N > 0 {
		add("n=", fmt.Sprint(r.N))
	}
	add("session=", r.Session)
	if r.Channel != "" {
		add("channel=", r.Channel[:min(8, len(r.Channel))])
	}
	for _, k := range slices.Sorted(maps.Keys(r.Attrs)) {
		add(k+"=", r.Attrs[k])
	}
	return all
}

// clip is at most n characters of a text.
func clip(s string, n int) string {
	if chars := []rune(s); len(chars) > n {
		return string(chars[:n-1]) + "…"
	}
	return s
}

// parseMoment reads a point in time as ms since the Unix epoch; "" is 0.
func parseMoment(flag, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d).UnixMilli(), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UnixMilli(), nil
	}
	for _, form := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, usagef(`%s %.64q: want a time such as 2026-01-31T12:00:00Z or "2026-01-31 12:00", or how long ago, such as 10m`, flag, s)
}

// readHeads reads records of event head, one a line, as "audit --event head --json"
// prints them.
func readHeads(path string) (heads []audit.Head, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	line := 0
	for row := range strings.Lines(string(text)) {
		if line++; strings.TrimSpace(row) == "" {
			continue
		}
		var r audit.Record
		if err := json.Unmarshal([]byte(row), &r); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		h, ok := audit.HeadOf(r)
		if !ok {
			return nil, fmt.Errorf("%s:%d: no record of event head", path, line)
		}
		heads = append(heads, h)
	}
	return heads, nil
}
