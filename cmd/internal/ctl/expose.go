package ctl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// defaultMax is how many channels expose and forward carry at once.
const defaultMax = 64

// newExpose builds "expose".
func newExpose(a *app) *cobra.Command {
	most := defaultMax
	cmd := &cobra.Command{
		Use:   "expose NAME TARGET [ARG...]",
		Short: "Give a TCP or Unix service, or a command, a name",
		Long: `Expose claims NAME and leads each channel to it to TARGET:
  tcp:HOST:PORT   a new connection
  unix:PATH       a new connection
  exec:CMD ARG…   a new process: stdin and stdout are the channel, stderr is ours,
                  $SWITCHBOARD_PEER is the caller's key
Half-closes are kept. If either side breaks, so does the other; the process of a
channel that breaks is killed. Over --max channels at once, further ones wait.
It runs until SIGINT or SIGTERM, over reconnects; flags stand before NAME.`,
		Example: `  sbctl expose org.example.web tcp:localhost:80
  sbctl expose org.example.date exec:date -u
  sbctl expose --max 4 org.example.sh exec:sh -c 'tr a-z A-Z'`,
		Args: between(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if most < 1 {
				return usagef("--max must be at least 1")
			}
			t, err := parseTarget(args[1], args[2:], a.log)
			if err != nil {
				return err
			}
			return a.stay(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return a.expose(ctx, c, args[0], strings.Join(args[1:], " "), t, most)
			})
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows NAME may be a command's own flags
	cmd.Flags().IntVar(&most, "max", defaultMax, "carry at most `N` channels at once")
	return cmd
}

// expose claims name and serves its channels until ctx ends.
func (a *app) expose(ctx context.Context, c *client.Client, name, what string, t target, most int) error {
	limited, cancel := a.limit(ctx)
	defer cancel()
	ln, err := c.Listen(limited, name)
	if err != nil {
		return about{name, err}
	}
	if _, err := fmt.Fprintf(a.out, "%s leads to %s\n", term.Escape(name), term.Escape(what)); err != nil {
		return errors.Join(err, ln.Close())
	}
	return a.serve(ctx, ln, most, about{name: name}, t.serve)
}

// serve accepts connections until ctx ends, at most `most` of them open at a
// time, and gives each to handle, which closes it. What goes wrong with one is a
// line on stderr. It waits for all.
func (a *app) serve(ctx context.Context, ln net.Listener, most int, of about, handle func(context.Context, duplex) error) error {
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // before the wait: it ends what is open
	defer ln.Close()
	slots := make(chan struct{}, most)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return about{of.name, err}
		}
		d, err := asDuplex(conn)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := handle(ctx, d); err != nil && ctx.Err() == nil {
				fmt.Fprintf(a.log, "sbctl: %s: a channel ended: %s\n", term.Escape(of.name), term.Error(err))
			}
		})
	}
}
