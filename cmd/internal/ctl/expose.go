package ctl

import (
	"context"
	"encoding/json"
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
	var e exposure
	var info string
	var relayOnly bool
	cmd := &cobra.Command{
		Use:   "expose NAME TARGET [ARG...]",
		Short: "Give a TCP or Unix service, or a command, a name",
		Long: `Expose claims NAME and leads each channel to it to TARGET:
  tcp:HOST:PORT   a new connection; tcp:PORT is on the loopback address
  unix:PATH       a new connection
  exec:CMD ARG…   a new process: stdin and stdout are the channel, stderr is ours,
                  $SWITCHBOARD_PEER is the caller's key
Half-closes are kept. If either side breaks, so does the other; the process of a
channel that breaks is killed. A process that exits with another code than 0, or
by a signal, breaks its channel: the caller hears of a cut, not of an end. A
service that cannot be reached is told to the caller, who is refused. Over --max
channels at once, further ones wait. It runs until SIGINT or SIGTERM, over
reconnects; flags stand before NAME.

A name has one owner. With --queue it waits in line for a name that is taken; with
--replace it takes it from an owner of the same key, or one that said --yield.`,
		Example: `  sbctl expose org.example.web tcp:localhost:80
  sbctl expose org.example.date exec:date -u
  sbctl expose --max 4 org.example.sh exec:sh -c 'tr a-z A-Z'`,
		Args: between(2, -1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := e.parse(args, info); err != nil {
				return err
			}
			if e.target, err = parseTarget(args[1], args[2:], a.log); err != nil {
				return err
			}
			var cfg client.Config
			if relayOnly {
				cfg.Direct = client.DirectNever
			}
			return a.stay(cmd.Context(), cfg, func(ctx context.Context, c *client.Client) error {
				return a.expose(ctx, c, e)
			})
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows NAME may be a command's own flags
	f.IntVar(&e.most, "max", defaultMax, "carry at most `N` channels at once")
	f.StringVar(&info, "info", "", "publish this `JSON` with the name")
	f.BoolVar(&relayOnly, "relay-only", false, "keep the channels at the server, which hides your address")
	f.BoolVar(&e.claim.Queue, "queue", false, "wait in line if the name is taken")
	f.BoolVar(&e.claim.Replace, "replace", false, "take the name from an owner that lets us")
	f.BoolVar(&e.claim.Yield, "yield", false, "let others --replace us")
	return cmd
}

// exposure is what expose was asked for.
type exposure struct {
	name   string
	what   string // the target as it was written
	target target
	most   int
	claim  client.ClaimOptions
}

// parse takes what stands on the command line, but for the target.
func (e *exposure) parse(args []string, info string) error {
	if e.most < 1 {
		return usagef("--max must be at least 1")
	}
	if info != "" {
		if !json.Valid([]byte(info)) {
			return usagef("--info is no JSON: %.64s", info)
		}
		e.claim.Info = json.RawMessage(info)
	}
	if err := checkName(args[0]); err != nil || args[0][0] == ':' {
		return usagef("%q is not a name that can be claimed", args[0])
	}
	e.name, e.what = args[0], strings.Join(args[1:], " ")
	return nil
}

// expose claims the name and serves its channels until ctx ends.
func (a *app) expose(ctx context.Context, c *client.Client, e exposure) error {
	limited, cancel := a.limit(ctx)
	defer cancel()
	opts := client.ListenOptions{ClaimOptions: e.claim}
	if t, ok := e.target.(*address); ok {
		t.most, opts.Admit = e.most, t.admit
		t.report = func(err error) {
			fmt.Fprintf(a.log, "sbctl: %s\n", message(about{e.name, err}))
		}
	}
	ln, err := c.ListenOffers(limited, e.name, opts)
	switch {
	case errors.Is(err, client.NameTaken) && e.claim.Replace:
		return failure{exitNotOwner, fmt.Errorf("%s: its owner has another key and did not say --yield (sbctl info shows which); --queue waits for the name", e.name)}
	case errors.Is(err, client.NameTaken):
		return failure{exitNotOwner, fmt.Errorf("%s: the name has another owner (sbctl info shows which); --queue waits for it", e.name)}
	case err != nil:
		return about{e.name, err}
	}
	if _, err := fmt.Fprintf(a.out, "%s leads to %s\n", term.Escape(e.name), term.Escape(e.what)); err != nil {
		return errors.Join(err, ln.Close())
	}
	return a.serve(ctx, ln, e.most, e.name, e.target.serve)
}

// serve accepts connections until ctx ends, at most `most` of them open at a
// time, and gives each to handle, which closes it. What goes wrong with one is a
// line on stderr. It waits for all.
func (a *app) serve(ctx context.Context, ln net.Listener, most int, name string, handle func(context.Context, duplex) error) error {
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
			return about{name, err}
		}
		d, err := asDuplex(conn)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := handle(ctx, d); err != nil && ctx.Err() == nil {
				if !errors.As(err, new(about)) {
					err = about{name, err}
				}
				fmt.Fprintf(a.log, "sbctl: %s\n", message(err))
			}
		})
	}
}
