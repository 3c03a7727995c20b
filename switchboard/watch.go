package switchboard

import (
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/names"
)

// A watch that lags this often within this time ends (PROTOCOL.md §5).
const (
	maxLags   = 3
	lagWindow = time.Minute
)

// watch is one names.watch. Its goroutine sends what publishLocked queues. The
// queue is bounded: over the bound everything in it is forgotten, and the
// goroutine sends lagged and a fresh snapshot instead. A watch with nothing to
// send is served by whoever publishes, in passing.
type watch struct {
	// set at construction
	sess    *session
	call    *muxrpc.Call
	pattern names.Pattern
	wake    chan struct{} // one token: the queue or what ended it has changed

	// owned by run
	lags []time.Time

	// guarded by srv.mu
	sender sender
	queue  []*event
	bytes  int
	lagged bool
	ended  error
}

// sender says who sends on a watch: one at a time, so that events keep their
// order.
type sender int

const (
	senderRun  sender = iota // the watch's goroutine, until next finds nothing
	senderNone               // nothing is to be sent
	senderPass               // who has published; the goroutine waits
)

// watch begins a names.watch.
func (s *session) watch(c *muxrpc.Call) {
	var args control.WatchArgs
	err := control.Decode(c.Args(), &args)
	w := &watch{sess: s, call: c, wake: make(chan struct{}, 1)}
	if err == nil {
		w.pattern, err = parseMatch(args.Match)
	}
	if err != nil {
		s.fail(c, err)
		return
	}

	srv := s.srv
	srv.mu.Lock()
	var b beginning
	switch {
	case srv.stopping || s.leaving: // the stop has told its watches already
		err = control.ShuttingDown
	case s.watches >= srv.limits.Watches:
		err = control.Quota.With("too many watches on this session")
	default:
		s.watches++
		b = w.beginLocked(args.Since)
		srv.watches[w] = struct{}{}
		srv.matcher.Add(w.pattern, w)
	}
	srv.mu.Unlock()
	if err != nil {
		s.fail(c, err)
		return
	}

	c.Go(func() {
		err := s.shielded(func() error { return w.run(b) })
		if err != nil {
			err = control.ToWire(err)
		}
		// The stream may be gone with its lane; then nobody is left to be told.
		_ = c.Stream().CloseSend(err)
		srv.mu.Lock()
		defer srv.mu.Unlock()
		delete(srv.watches, w)
		srv.matcher.Remove(w.pattern, w)
		s.watches--
		s.checkIdleLocked()
	})
}

// beginning is what a watch sends first: a snapshot, or the changes since a
// rev. Both are drawn in one step with the registration, and are shared with
// the registry, not copied: they do not count in the queue.
type beginning struct {
	lagged  bool
	rev     uint64
	entries []*names.Entry
	changes []names.Change
}

func (w *watch) beginLocked(since *uint64) beginning {
	reg := w.sess.srv.registry
	if since != nil {
		if changes, ok := reg.Since(*since); ok {
			rev, _ := reg.Snapshot(time.Now())
			return beginning{rev: rev, changes: changes}
		}
	}
	rev, entries := reg.Snapshot(time.Now())
	return beginning{lagged: since != nil, rev: rev, entries: entries}
}

// run sends until the watch ends: by the peer, by the session, or by lagging.
func (w *watch) run(b beginning) error {
	if err := w.sendBeginning(b); err != nil {
		return err
	}
	ctx := w.call.Context()
	for {
		ev, b, err := w.next()
		switch {
		case err != nil:
			return err
		case b != nil:
			if err := w.sendBeginning(*b); err != nil {
				return err
			}
		case ev != nil:
			if err := w.call.Stream().SendJSON(ev.text()); err != nil {
				return err
			}
		default:
			select {
			case <-w.wake:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// next takes what is to be sent: an event, or a new beginning after a lag, or
// nothing yet.
func (w *watch) next() (*event, *beginning, error) {
	w.sess.srv.mu.Lock()
	defer w.sess.srv.mu.Unlock()
	switch {
	case w.ended != nil:
		return nil, nil, w.ended
	case w.sender == senderPass: // who ends the passing pokes
		return nil, nil, nil
	}
	w.sender = senderRun
	switch {
	case w.lagged:
		now := time.Now()
		w.lags = append(w.lags, now)
		if n := len(w.lags); n >= maxLags && now.Sub(w.lags[n-maxLags]) < lagWindow {
			return nil, nil, control.Quota.With("the watch lagged three times in a minute")
		}
		w.lags = w.lags[max(0, len(w.lags)-maxLags):]
		w.lagged = false
		b := w.beginLocked(nil)
		b.lagged = true
		return nil, &b, nil
	case len(w.queue) > 0:
		ev := w.queue[0]
		w.queue = w.queue[1:]
		w.bytes -= ev.size
		return ev, nil, nil
	}
	w.sender, w.queue = senderNone, nil
	return nil, nil, nil
}

// pushLocked queues an event, or gives up the queue if it is full. While it
// waits to send a snapshot nothing is queued: the snapshot will hold it.
func (w *watch) pushLocked(ev *event) {
	if w.lagged {
		return
	}
	l := &w.sess.srv.limits
	if len(w.queue) >= l.WatchEvents || w.bytes+ev.size > l.WatchBytes {
		w.queue, w.bytes, w.lagged = nil, 0, true
	} else {
		w.queue = append(w.queue, ev)
		w.bytes += ev.size
	}
	if w.sender == senderNone {
		w.poke()
	}
}

// endLocked ends the watch from outside, with a code.
func (w *watch) endLocked(err error) {
	w.ended = err
	w.poke()
}

func (w *watch) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// sendBeginning sends a snapshot or the missed changes, and synced.
func (w *watch) sendBeginning(b beginning) error {
	out := w.call.Stream()
	if b.lagged {
		if err := out.SendJSON(text(&control.Event{Rev: b.rev, Type: control.EventLagged})); err != nil {
			return err
		}
	}
	for _, e := range b.entries {
		if !w.pattern.Match(e.Name) {
			continue
		}
		entry := wireEntry(e)
		if err := out.SendJSON(text(&control.Event{Rev: b.rev, Type: control.EventConnected, Name: string(e.Name), Entry: &entry})); err != nil {
			return err
		}
	}
	for i := range b.changes {
		if !w.pattern.Match(b.changes[i].Name) {
			continue
		}
		if err := out.SendJSON(changeText(&b.changes[i])); err != nil {
			return err
		}
	}
	return out.SendJSON(text(&control.Event{Rev: b.rev, Type: control.EventSynced}))
}
