package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// newInfo builds "info".
func newInfo(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "info NAME",
		Short:             "Show who owns a name and what it published",
		Example:           "  sbctl info org.example.echo\n  sbctl info org.example.echo --json",
		Args:              exactly(1),
		ValidArgsFunction: a.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkName(args[0]); err != nil {
				return err
			}
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				e, err := c.Lookup(ctx, args[0])
				if err != nil {
					return about{args[0], err}
				}
				if asJSON {
					return a.printJSON(e)
				}
				rows := [][2]string{
					{"name", e.Name}, {"key", e.ID.String()}, {"session", e.Session}, {"via", e.Transport},
					{"since", when(e.Since)}, {"epoch", fmt.Sprint(e.Epoch)}, {"waiters", fmt.Sprint(e.Waiters)},
				}
				if len(e.Info) > 0 {
					rows = append(rows, [2]string{"info", compact(e.Info)})
				}
				return a.printBlock(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newWhoAmI builds "whoami".
func newWhoAmI(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show as whom the server knows this user, and the server itself",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				who, err := c.WhoAmI(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(who)
				}
				return a.printBlock([][2]string{
					{"key", who.ID.String()}, {"session", who.Session},
					{"names", strings.Join(who.Names, " ")}, {"level", who.Level},
					{"server", who.Server.ID.String()}, {"version", who.Server.Version},
					{"protocol", who.Server.Protocol}, {"started", when(who.Server.Started)},
				})
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newPing builds "ping".
func newPing(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ping [NAME]",
		Short: "Measure the way to the server, or to a plugin",
		Long: `Ping without NAME times one call to the server. With NAME it times how long a
channel to that plugin takes to open, and closes it without a byte: the plugin
sees a caller who says nothing, and "expose NAME exec:CMD" starts a CMD for it.`,
		Example:           "  sbctl ping\n  sbctl ping org.example.echo",
		Args:              between(0, 1),
		ValidArgsFunction: a.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if err := checkName(args[0]); err != nil {
					return err
				}
			}
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				who := "server"
				took, err := c.Ping(ctx)
				if err == nil && len(args) == 1 {
					who = args[0]
					took, err = pingName(ctx, c, who)
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.out, "%s: %.3f ms\n", term.Escape(who), float64(took.Microseconds())/1000)
				return err
			})
		},
	}
}

// pingName opens a channel to name and says how long that took.
func pingName(ctx context.Context, c *client.Client, name string) (time.Duration, error) {
	start := time.Now()
	conn, err := openChannel(ctx, c, name, client.OpenOptions{})
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, conn.Close()
}

// newWait builds "wait".
func newWait(a *app) *cobra.Command {
	var gone bool
	cmd := &cobra.Command{
		Use:   "wait NAME",
		Short: "Wait until a name is present, or gone",
		Long: `Wait ends with exit code 0 as soon as NAME is present (with --gone: is not
present), and with 7 when that takes longer than --timeout.`,
		Example:           "  sbctl wait org.example.echo --timeout 30s\n  sbctl wait org.example.echo --gone --timeout 0",
		Args:              exactly(1),
		ValidArgsFunction: a.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.Contains(args[0], "*") {
				return usagef("%s: wait takes a name, not a pattern", args[0])
			}
			if err := checkName(args[0]); err != nil {
				return err
			}
			ctx, cancel := a.limit(cmd.Context())
			defer cancel()
			c, err := a.dial(ctx, client.Config{})
			if err != nil {
				return err
			}
			defer c.Close()
			return a.await(ctx, c, args[0], gone)
		},
	}
	cmd.Flags().BoolVar(&gone, "gone", false, "wait until nobody has the name")
	return cmd
}

// await watches name until it is present, or gone.
func (a *app) await(ctx context.Context, c *client.Client, name string, gone bool) error {
	present, synced := false, false
	for ev, err := range c.Watch(ctx, name) {
		switch {
		case err != nil && ctx.Err() != nil:
			return a.stillWaiting(ctx, name, gone)
		case errors.Is(err, client.BadRequest): // a watch speaks of patterns
			return about{name, client.NameInvalid.With("")}
		case err != nil:
			return about{name, err}
		case ev.Type == eventLagged:
			present, synced = false, false
		case ev.Type == eventSynced:
			synced = true
		default:
			present = ev.Entry != nil
		}
		if present && !gone || synced && !present && gone {
			return nil
		}
	}
	return a.stillWaiting(ctx, name, gone)
}

// stillWaiting says what a wait that ended too early had found.
func (a *app) stillWaiting(ctx context.Context, name string, gone bool) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return about{name, context.Cause(ctx)}
	}
	state := "not here yet"
	if gone {
		state = "still here"
	}
	return failure{exitTimeout, fmt.Errorf("%s: %s after %v", name, state, a.timeout)}
}

// printBlock prints names and values in two columns.
func (a *app) printBlock(rows [][2]string) error {
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	var out strings.Builder
	for _, row := range rows {
		value := term.Escape(row[1])
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(&out, "%s%s  %s\n", a.colour.Head.Paint(row[0]), strings.Repeat(" ", width-len(row[0])), value)
	}
	_, err := a.out.WriteString(out.String())
	return err
}

// when is ms after the Unix epoch as a local time.
func when(ms int64) string { return time.UnixMilli(ms).Format(time.RFC3339) }

// compact is a JSON document on one line.
func compact(raw json.RawMessage) string {
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		return string(raw)
	}
	return string(term.JSON(out.Bytes()))
}
