package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// newConnect builds "connect".
func newConnect(a *app) *cobra.Command {
	var raw bool
	var r route
	cmd := &cobra.Command{
		Use:   "connect NAME",
		Short: "Connect stdin and stdout to a plugin",
		Long: `Connect opens a channel to NAME, sends it what comes on stdin, and writes what
comes back to stdout. The end of stdin ends that direction only: the answer is
read to its end. If stdin is a terminal, the plugin's end is the end. A channel
that is cut, rather than ended, is exit code 8. --timeout bounds the opening.

On a terminal, control characters of the plugin are shown escaped unless --raw
is given; to a file or pipe all bytes go as they are.
` + routeHelp + `
-v says on stderr when the channel moved, or why it did not.`,
		Example:           "  echo hello | sbctl connect org.example.echo",
		Args:              exactly(1),
		ValidArgsFunction: a.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkName(args[0]); err != nil {
				return err
			}
			return a.withChannel(cmd.Context(), args[0], &r, func(ctx context.Context, conn duplex) error {
				return a.pipe(ctx, conn, raw)
			})
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "pass control characters to a terminal")
	cmd.Flags().BoolVarP(&r.verbose, "verbose", "v", false, "say which way the channel goes")
	r.addTo(cmd)
	return cmd
}

// withChannel opens a channel to name within --timeout, runs do, which closes
// it, and logs out.
func (a *app) withChannel(ctx context.Context, name string, r *route, do func(context.Context, duplex) error) error {
	limited, cancel := a.limit(ctx)
	defer cancel()
	var cfg client.Config // it reconnects: a channel that has moved needs a session
	if err := r.config(&cfg); err != nil {
		return err
	}
	c, err := a.dial(limited, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	told := &moves{a: a, r: r, name: name}
	conn, err := openChannel(limited, c, name, r.options(told))
	if err != nil {
		return err
	}
	defer told.end()
	r.vouch(a, name, conn)
	err = do(ctx, conn)
	if err != nil && ctx.Err() != nil {
		return about{name, ctx.Err()}
	}
	return cut(name, err)
}

// openChannel opens a channel to name.
func openChannel(ctx context.Context, c *client.Client, name string, opts client.OpenOptions) (duplex, error) {
	conn, err := c.Open(ctx, name, opts)
	if err == nil {
		return conn, nil
	}
	switch {
	case ctx.Err() == nil && errors.Is(err, client.ErrPins), errors.As(err, new(*client.Error)):
		return nil, about{name, err}
	case ctx.Err() == nil: // not an answer
		return nil, cut(name, err)
	}
	return nil, about{name, err}
}

// cut gives an error of an open channel its meaning: it was cut.
func cut(name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.As(err, new(localError)) || errors.As(err, new(failure)) {
		return err
	}
	return failure{exitGone, fmt.Errorf("%s: %w", name, channelCut{err})}
}

// channelCut is the error of an open channel, in words for whom it was opened.
type channelCut struct{ err error }

func (e channelCut) Unwrap() error { return e.err }

func (e channelCut) Error() string {
	if errors.Is(e.err, client.ErrNotConnected) || errors.Is(e.err, client.ShuttingDown) {
		return "the server ended, and with it the channel, which it relayed"
	}
	return "the channel was cut: " + endText(e.err)
}

// endText is why a channel ended. The codes are those of a reset (PROTOCOL.md §3)
// or of a move.
func endText(err error) string {
	e, isError := errors.AsType[*client.Error](err)
	code, isCode := errors.AsType[client.Code](err)
	switch {
	case !isError && !isCode:
		return strings.TrimPrefix(err.Error(), "client: ")
	case !isError:
		e = code.With("")
	}
	switch e.Code {
	case client.PeerGone:
		return "the other end is gone"
	case "peer_reset":
		return "the other end broke it off"
	case client.ShuttingDown:
		return "the server is shutting down"
	case client.NotAllowed:
		return "the server does not allow it any more"
	}
	if e.Message != "" {
		return e.Message
	}
	return string(e.Code)
}

// localError is an error of our own stdin or stdout.
type localError struct{ err error }

func (e localError) Error() string { return e.err.Error() }
func (e localError) Unwrap() error { return e.err }

// pipe copies stdin to conn and conn to stdout, and closes conn.
//
// Reading stdin cannot be stopped. So the goroutine that does is not waited for
// when the channel ends first; it ends with the process.
func (a *app) pipe(ctx context.Context, conn duplex, raw bool) error {
	defer context.AfterFunc(ctx, func() { conn.Abort() })()
	var wg sync.WaitGroup
	sent, received := make(chan error, 1), make(chan error, 1)
	wg.Go(func() { sent <- a.send(conn) })
	wg.Go(func() { received <- a.receive(conn, raw) })
	var sendErr error
	for sending, receiving := true, true; sending || receiving; {
		select {
		case sendErr = <-sent:
			sending = false
			// A peer that stopped reading may have answered before: its answer
			// is read on. If it was our stdin that failed, there is no answer.
			if errors.As(sendErr, new(localError)) {
				return errors.Join(sendErr, conn.Abort())
			}
		case err := <-received:
			if err != nil {
				return errors.Join(err, conn.Abort())
			}
			receiving = false
			if term.IsTerminal(a.in) {
				sending = false
			}
		}
	}
	return errors.Join(sendErr, conn.Close())
}

// send copies stdin to the channel and half-closes it.
func (a *app) send(conn duplex) error {
	_, err := io.Copy(onlyWriter{conn}, reading{a.in})
	if err != nil {
		return err
	}
	return conn.CloseWrite()
}

// receive copies the channel to stdout.
func (a *app) receive(conn net.Conn, raw bool) error {
	out := io.Writer(writing{a.out})
	if raw || !term.IsTerminal(a.out) {
		_, err := io.Copy(out, onlyReader{conn})
		return err
	}
	safe := &term.Writer{W: out}
	_, err := io.Copy(safe, onlyReader{conn})
	return errors.Join(err, safe.Flush())
}

// reading and writing mark errors of stdin and stdout as ours.
type (
	reading struct{ r io.Reader }
	writing struct{ w io.Writer }
)

func (r reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = localError{fmt.Errorf("reading stdin: %w", err)}
	}
	return n, err
}

func (w writing) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		err = localError{fmt.Errorf("writing stdout: %w", err)}
	}
	return n, err
}
