package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/cad2f06c/switchboard/internal/control"
)

// What follows is for administrators; anybody else gets NotAllowed.

// Session is a session as the server lists it.
type Session = control.SessionInfo

// Stats are the counters of a server.
type Stats = control.Stats

// Rate is how often a key has called a method within the last 60 s.
type Rate = control.Rate

// AuditQuery selects records of the server's audit log: see Audit.
type AuditQuery = control.AuditTailArgs

// Sessions returns all sessions, by number.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	var all []Session
	var args control.AfterArgs
	for {
		var page control.SessionsList
		if err := c.retry(ctx, control.MethodSessionsList, args, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Sessions...)
		if !page.More || len(page.Sessions) == 0 {
			return all, nil
		}
		args.After = page.Sessions[len(page.Sessions)-1].Session
	}
}

// CloseSession ends a session, such as ":17", with its names and channels. NotFound:
// there is no such session any more. Unavailable: the audit log cannot be written.
func (c *Client) CloseSession(ctx context.Context, session, reason string) error {
	args := control.SessionCloseArgs{Session: session, Reason: reason}
	return c.retry(ctx, control.MethodSessionsClose, args, nil)
}

// Stats returns the server's counters.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	return s, c.retry(ctx, control.MethodStats, nil, &s)
}

// Rates returns what each key has called within the last 60 s, by key and method.
func (c *Client) Rates(ctx context.Context) ([]Rate, error) {
	var all []Rate
	var args control.AfterArgs
	for {
		var page control.Rates
		if err := c.retry(ctx, control.MethodRates, args, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Rates...)
		if !page.More || len(page.Rates) == 0 {
			return all, nil
		}
		args.After = page.Rates[len(page.Rates)-1].ID.String()
	}
}

// Reload makes the server read its configuration and peers again, and returns how
// many keys are listed now. BadRequest: something is not in order, and nothing has
// changed.
func (c *Client) Reload(ctx context.Context) (keys int, err error) {
	var r control.ReloadResult
	err = c.retry(ctx, control.MethodReload, nil, &r)
	return r.Keys, err
}

// Everybody returns the present names of all tenants that match a pattern and, if
// that is "" or "**", behind them the sessions without a name, as entries whose
// Name is empty.
func (c *Client) Everybody(ctx context.Context, match string) ([]Entry, error) {
	var all []Entry
	args := control.ListArgs{Match: match, All: true}
	for {
		var page control.ListResult
		if err := c.retry(ctx, control.MethodList, args, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Names...)
		if !page.More || len(page.Names) == 0 {
			return all, nil
		}
		last := page.Names[len(page.Names)-1]
		if args.After = last.Name; args.After == "" {
			args.After = last.Session
		}
	}
}

// Audit yields records of the server's audit log as JSON (PROTOCOL.md §13): the
// newest that q selects, the oldest of them first, and with q.Follow those that
// come later, until the loop is left or ctx ends. It ends with the session, too:
// what was missed can be asked for by q.Since. An error comes last.
func (c *Client) Audit(ctx context.Context, q AuditQuery) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		s, err := c.await(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		f, err := s.source(ctx, control.MethodAuditTail, q)
		if err != nil {
			yield(nil, s.cut(ctx, err))
			return
		}
		defer f.close()
		for {
			item, err := f.item(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, s.cut(ctx, err))
				return
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// cut is what an error means that a source, which is not begun again, has ended with.
func (s *session) cut(ctx context.Context, err error) error {
	_, answered := errors.AsType[*Error](err)
	switch {
	case answered, ctx.Err() != nil, errors.Is(err, errSlow), errors.Is(err, errAnswer):
		return err
	case s.c.ctx.Err() != nil:
		return errClosed
	}
	return fmt.Errorf("%w: %w", ErrNotConnected, err)
}
