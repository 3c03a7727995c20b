package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/cad2f06c/switchboard/internal/control"
)

// Event is one step of a Watch. Type is one of the constants below.
type Event = control.Event

// What an Event says. Synced ends a snapshot, or the changes missed during a
// reconnect; Lagged means that events were lost and a snapshot follows: forget
// everything.
const (
	EventConnected    = control.EventConnected
	EventDisconnected = control.EventDisconnected
	EventMoved        = control.EventMoved
	EventUpdated      = control.EventUpdated
	EventSynced       = control.EventSynced
	EventLagged       = control.EventLagged
)

// Watch yields every change of the names that match a pattern, in order: first
// all present names as connected, then one synced, then what changes. Whoever
// applies the events holds exactly what is there at each Rev.
//
// It lives over reconnects: missed changes follow, and another synced; if the
// server no longer has them, lagged comes first and then a new snapshot. A loop
// body that is too slow to be waited for gets lagged and a snapshot, too.
//
// It ends when the loop is left, which ends the watch at the server, with ctx's
// error, or with an error that will not pass, such as BadRequest or Quota; an
// error comes last and with a zero Event. Each range over it is a new watch.
func (c *Client) Watch(ctx context.Context, match string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := &watch{c: c, match: match}
		for {
			again, err := w.session(ctx, yield)
			if again {
				continue
			}
			if err != nil {
				yield(Event{}, err)
			}
			return
		}
	}
}

// watch is one range over Watch.
type watch struct {
	c      *Client
	match  string
	pause  backoff
	begun  bool   // something was yielded
	synced bool   // what was yielded is complete up to rev
	rev    uint64 // of the last event
}

// session watches as long as one session lasts, or one lane of it. again says
// that the watch goes on; else it is over, with an error unless the loop was
// left.
func (w *watch) session(ctx context.Context, yield func(Event, error) bool) (again bool, err error) {
	s, err := w.c.await(ctx)
	if err != nil {
		return false, err
	}
	args := control.WatchArgs{Match: w.match}
	if w.synced {
		args.Since = &w.rev
	} else if w.begun {
		// The snapshot was cut short. What comes next is a whole one.
		w.begun = false
		if !yield(Event{Type: EventLagged, Rev: w.rev}, nil) {
			return false, nil
		}
	}
	f, err := s.feed(ctx, args)
	if err != nil {
		return w.after(ctx, s, err)
	}
	defer f.close()
	for {
		ev, err := f.next(ctx)
		if err != nil {
			f.close()
			return w.after(ctx, s, err)
		}
		w.note(ev)
		if !yield(ev, nil) {
			return false, nil
		}
	}
}

// note keeps the books by which the watch goes on in the next session.
func (w *watch) note(ev Event) {
	w.pause = backoff{}
	w.begun, w.rev = true, ev.Rev
	switch ev.Type {
	case EventSynced:
		w.synced = true
	case EventLagged:
		w.synced = false
	}
}

// after decides whether the watch goes on after an error.
func (w *watch) after(ctx context.Context, s *session, err error) (again bool, _ error) {
	_, answered := errors.AsType[*Error](err)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, errSlow):
		w.synced = false
		return true, nil
	case answered && !passing(err), answered && w.rev == 0 && !errors.Is(err, ShuttingDown):
		return false, err
	}
	if w.c.cfg.NoReconnect && !answered && s.over() {
		return false, fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	// A session that ends is waited for in await; a lane that failed alone,
	// or a server that has no time, is not asked again at once.
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	sleep(wait, w.pause.next(false))
	return true, nil
}

// event reads one item of a watch.
func event(body []byte) (Event, error) {
	var ev Event
	if err := json.Unmarshal(body, &ev); err != nil {
		return Event{}, fmt.Errorf("reading an event: %w", err)
	}
	return ev, nil
}
