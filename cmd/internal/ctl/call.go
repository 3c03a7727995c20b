package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// maxAnswer is the largest answer that call takes, in bytes.
const maxAnswer = 1 << 20

// newCall builds "call".
func newCall(a *app) *cobra.Command {
	var source bool
	cmd := &cobra.Command{
		Use:   "call NAME METHOD [JSON...]",
		Short: "Call a muxrpc method of a plugin, or of the server",
		Long: `Call opens a channel to NAME, calls METHOD there with the given arguments, each
a JSON text, and prints the answer as JSON. The NAME switchboard is the server
itself. With --source the method is a source: each item is a line. An error answer
of the method is exit code 10.`,
		Example: `  sbctl call switchboard whoami
  sbctl call switchboard names.get '{"name":"org.example.echo"}'
  sbctl call org.example.store get '"key"'`,
		Args:              between(2, -1),
		ValidArgsFunction: a.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, method := args[0], args[1]
			params, err := parseParams(args[2:])
			if err == nil {
				err = checkName(name)
			}
			if err != nil {
				return err
			}
			switch {
			case name == "switchboard" && source:
				return usagef("--source is for plugins; sbctl watch shows the server's only source")
			case name == "switchboard":
				return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
					var result json.RawMessage
					if err := c.Call(ctx, method, params, &result); err != nil {
						return about{method, err}
					}
					return a.printResult(result)
				})
			}
			ctx, cancel := a.limit(cmd.Context())
			defer cancel()
			return a.withChannel(ctx, name, &route{}, func(ctx context.Context, conn duplex) error {
				return a.call(ctx, conn, method, params, source)
			})
		},
	}
	cmd.Flags().BoolVar(&source, "source", false, "the method is a source: print its items")
	return cmd
}

// parseParams checks that every argument is JSON.
func parseParams(args []string) (muxrpc.Args, error) {
	params := muxrpc.Args{}
	for i, arg := range args {
		if !json.Valid([]byte(arg)) {
			return nil, usagef(`argument %d is no JSON: %.64s (a text needs quotes: '"text"')`, i+1, arg)
		}
		params = append(params, json.RawMessage(arg))
	}
	return params, nil
}

// call makes one call on a channel, prints what it answers and ends the channel.
func (a *app) call(ctx context.Context, conn duplex, method string, params muxrpc.Args, source bool) error {
	ctx, echoed := context.WithCancelCause(ctx)
	defer echoed(nil)
	s := muxrpc.NewSession(conn, muxrpc.Config{MaxBody: maxAnswer, Handler: &echoes{method: method, params: params, found: echoed}})
	defer s.Close()
	var err error
	if source {
		err = a.callSource(ctx, s, method, params)
	} else {
		var result json.RawMessage
		if err = s.Call(ctx, method, params, &result); err == nil {
			err = a.printResult(result)
		}
	}
	if errors.Is(context.Cause(ctx), errEcho) {
		return failure{exitOther, fmt.Errorf("%s: %w", method, errEcho)}
	}
	if e, ok := errors.AsType[*muxrpc.RemoteError](err); ok {
		return failure{exitAnswer, fmt.Errorf("%s: the method answered an error: %w", method, e)}
	}
	if err != nil {
		return err
	}
	return s.Goodbye(ctx)
}

// errEcho says that what came back is what we sent.
var errEcho = errors.New("the plugin speaks no muxrpc: it sent our own request back")

// echoes looks at what the peer calls here, which nobody serves: if its first
// call is ours, the peer does not answer but echoes. Without this it would echo
// our answer to that, too, which looks like its own.
type echoes struct {
	method string
	params muxrpc.Args
	found  context.CancelCauseFunc

	calls int // owned by the session's reader
}

// ServeCall refuses the call.
func (e *echoes) ServeCall(c *muxrpc.Call) {
	e.calls++
	same := func(got json.RawMessage, param any) bool {
		sent, ok := param.(json.RawMessage)
		return ok && compact(got) == compact(sent)
	}
	if e.calls == 1 && c.Name() == e.method && slices.EqualFunc(c.Args(), e.params, same) {
		e.found(errEcho)
	}
	c.Fail(&muxrpc.RemoteError{Name: "Error", Message: "sbctl serves no methods"})
}

// callSource prints the items of a source.
func (a *app) callSource(ctx context.Context, s *muxrpc.Session, method string, params muxrpc.Args) error {
	stream, err := s.Open(ctx, "source", method, params)
	if err != nil {
		return err
	}
	for {
		item, flags, err := stream.Recv(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if flags&muxrpc.FlagJSON == 0 {
			if item, err = json.Marshal(item); err != nil { // bytes: as base64 text
				return err
			}
		}
		if err := a.printResult(item); err != nil {
			return err
		}
	}
}

// printResult prints an answer on one line.
func (a *app) printResult(result json.RawMessage) error {
	if len(result) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(a.out, compact(result))
	if err != nil {
		return localError{err}
	}
	return nil
}
