package ctl

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// forAdmins ends the help of what only administrators may.
const forAdmins = `
It is for administrators: --admin logs in with the server's own key.`

// refused is why an administrator's call came to nothing: the server's own words
// are the ones that help.
func refused(what string, err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	switch e.Code {
	case client.Unavailable:
		return failure{exitGone, fmt.Errorf("%s: %s", what, e.Message)}
	case client.NotFound:
		return failure{exitNotFound, fmt.Errorf("%s: %s", what, e.Message)}
	}
	return about{what, err}
}

// newSessions builds "sessions".
func newSessions(a *app) *cobra.Command {
	var asJSON bool
	var reason string
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List everybody's sessions, with or without a name",
		Long: `Sessions prints a table of all sessions: whose they are, where they come from,
how many channels they have, the memory held for their key, for how long they have
called nothing, and their names.
` + forAdmins,
		Example: "  sbctl sessions --admin\n  sbctl sessions close :17 --admin",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				all, err := c.Sessions(ctx)
				switch {
				case err != nil:
					return refused("sessions", err)
				case asJSON && all == nil:
					return a.printJSON([]client.Session{})
				case asJSON:
					return a.printJSON(all)
				}
				return a.printSessions(all)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	end := &cobra.Command{
		Use:     "close SESSION",
		Short:   "End a session, with its names and channels",
		Long:    "Close ends a session. Its peer may log in again; revoke its key to keep it out.\n" + forAdmins,
		Example: "  sbctl sessions close :17 --admin",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return refused("session "+args[0], c.CloseSession(ctx, args[0], reason))
			})
		},
	}
	end.Flags().StringVar(&reason, "reason", "", "a `TEXT` for the audit log")
	cmd.AddCommand(end)
	return cmd
}

func (a *app) printSessions(all []client.Session) error {
	rows := [][]string{{"SESSION", "KEY", "LEVEL", "TENANT", "FROM", "CHAN", "HELD", "IDLE", "AGE", "NAMES"}}
	for _, s := range all {
		level, tenant, names := s.Level, s.Tenant, "-"
		if s.Admin {
			level = "admin"
		}
		if tenant == "" {
			tenant = "-"
		}
		if n := len(s.Names); n > 0 {
			names = short(s.Names[0], 24)
			if n > 1 {
				names += " +" + strconv.Itoa(n-1)
			}
		}
		rows = append(rows, []string{
			s.Session, s.ID.String()[:7] + "…", level, short(tenant, 10), short(s.Source, 20),
			strconv.Itoa(s.Channels), size(s.Held), span(s.IdleMS), age(s.Since), names,
		})
	}
	return term.Table(a.out, a.colour.Head, rows)
}

// short cuts a text to n bytes.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-1], "") + "…"
}

// newRates builds "rates".
func newRates(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "rates",
		Short:   "Show how often each key has called what in the last 60 s",
		Long:    "Rates prints how many calls each key has made within the last 60 s, by method.\n" + forAdmins,
		Example: "  sbctl rates --admin",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				all, err := c.Rates(ctx)
				switch {
				case err != nil:
					return refused("rates", err)
				case asJSON && all == nil:
					return a.printJSON([]client.Rate{})
				case asJSON:
					return a.printJSON(all)
				}
				rows := [][]string{{"KEY", "METHOD", "LAST 60 S"}}
				for _, r := range all {
					rows = append(rows, []string{r.ID.String(), r.Method, strconv.Itoa(r.Count)})
				}
				return term.Table(a.out, a.colour.Head, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newAdmin builds "admin".
func newAdmin(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "Make the server do something",
		Args:  exactly(0),
		RunE:  func(*cobra.Command, []string) error { return usagef("admin needs a verb: reload") },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "reload",
		Short: "Read configuration and authorized_peers again",
		Long: `Reload makes the server read its configuration and peers again, as SIGHUP does.
What is not in order changes nothing, and is printed.
` + forAdmins,
		Example: "  sbctl admin reload --admin",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				keys, err := c.Reload(ctx)
				if e, ok := errors.AsType[*client.Error](err); ok && e.Code == client.BadRequest {
					return failure{exitOther, errors.New(e.Message)}
				}
				if err != nil {
					return refused("reload", err)
				}
				_, err = fmt.Fprintf(a.out, "reloaded; %d keys are listed\n", keys)
				return err
			})
		},
	})
	return cmd
}

// newChannelsClose builds "channels close".
func newChannelsClose(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "close CHANNEL",
		Short: "End a channel at both ends",
		Long: `Close ends a channel, relayed or direct. CHANNEL is its id, or as much of it as
tells it from the others.
` + forAdmins,
		Example: "  sbctl channels close 5f0c2a9b --admin",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				what := "channel " + args[0]
				id, err := wholeID(ctx, c, args[0])
				if err != nil {
					return refused(what, err)
				}
				return refused(what, c.CloseChannel(ctx, id, reason))
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "a `TEXT` that both ends are told")
	return cmd
}

// channelID is how long the id of a channel is.
const channelID = 32

// wholeID finds the channel whose id begins so.
func wholeID(ctx context.Context, c *client.Client, prefix string) (string, error) {
	if prefix == "" { // it would be the only one that there is
		return "", usagef("the CHANNEL is empty")
	}
	if len(prefix) >= channelID {
		return prefix, nil
	}
	all, err := c.Channels(ctx, true)
	if err != nil {
		return "", err
	}
	found := ""
	for _, ch := range all {
		switch {
		case !strings.HasPrefix(ch.Channel, prefix):
		case found != "":
			return "", usagef("more than one channel begins with %q", prefix)
		default:
			found = ch.Channel
		}
	}
	if found == "" {
		return "", failure{exitNotFound, fmt.Errorf("no channel begins with %q", prefix)}
	}
	return found, nil
}
