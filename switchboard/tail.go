package switchboard

import (
	"context"
	"errors"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// defaultTail is how many records audit.tail shows if it is not said.
const defaultTail = 100

// auditTail serves audit.tail: the newest records that a filter picks and, if it is
// asked to follow, those that come later.
func (s *session) auditTail(c *muxrpc.Call) {
	var a control.AuditTailArgs
	err := s.administers(control.MethodAuditTail)
	if err == nil {
		err = control.Decode(c.Args(), &a)
	}
	n := defaultTail
	if a.N != nil {
		n = *a.N
	}
	switch {
	case err != nil:
	case s.srv.cfg.Audit == nil:
		err = control.Unavailable.With("this server keeps no audit log")
	case n < 0, a.Since < 0, a.Until < 0:
		err = control.BadRequest.With("n, since and until are not negative")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	f := audit.Filter{Event: a.Event, Peer: a.Peer, Name: a.Name, Since: moment(a.Since), Until: moment(a.Until), Limit: n}
	c.Go(func() {
		err := s.shielded(func() error { return s.tail(c, f, n == 0, a.Follow) })
		if err != nil {
			err = control.ToWire(err)
		}
		_ = c.Stream().CloseSend(err) // it may be gone with its lane: then nobody is left to be told
	})
}

// moment is a time in ms since the Unix epoch; 0 is none.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func (s *session) tail(c *muxrpc.Call, f audit.Filter, none, follow bool) error {
	log := s.srv.cfg.Audit.log
	send := func(r audit.Record) error {
		if !s.admin() { // the rules may have changed since
			return errNoAdmin
		}
		text, err := r.MarshalJSON()
		if err != nil {
			return err
		}
		return c.Stream().SendJSON(text)
	}
	seen := log.Stats().Seq // what comes later is in Recent, or told by Follow, or both
	var records []audit.Record
	if !none {
		records = log.Recent(f)
	}
	for _, r := range records {
		seen = max(seen, r.Seq)
		if err := send(r); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	ctx, cancel := context.WithCancelCause(c.Context())
	defer cancel(nil)
	s.srv.wg.Go(func() {
		select {
		case <-s.srv.quit:
			cancel(control.ShuttingDown)
		case <-ctx.Done():
		}
	})
	f.After, f.Limit = max(seen, 1), 0
	err := log.Follow(ctx, f, send)
	switch {
	case errors.Is(err, audit.ErrClosed):
		return control.ShuttingDown
	case c.Context().Err() != nil:
		return nil // who asked has ended it
	}
	return err
}
