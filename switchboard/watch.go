package switchboard

import (
	"fmt"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/names"
)

// lagWindow is the time in which a watch that lags Limits.WatchLags times ends.
const lagWindow = time.Minute

// watch is one names.watch. Its goroutine sends what publishLocked queues. The
// queue is bounded: over the bound everything in it is forgotten, and the
// goroutine sends lagged and a fresh snapshot instead. A watch with nothing to
// send is served by whoever publishes, in passing.
type watch struct {
	// set at construction
	sess  *session
	call  *muxrpc.Call
	match match
	wake  chan struct{} // one token: the queue or what ended it has changed

	// owned by run
	lags []time.Time

	// guarded by srv.mu
	tenant string // of the session, as matchers have it
	sender sender
	queue  []told
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
	if err != nil {
		s.fail(c, err)
		return
	}

	srv := s.srv
	srv.mu.Lock()
	var b beginning
	w.tenant = s.rights.Load().tenant()
	w.match, err = readMatch(args.Match)
	switch {
	case err != nil:
	case srv.stopping || s.leaving: // the stop has told its watches already
		err = control.ShuttingDown
	case s.watches >= srv.limits.Watches:
		srv.over.count(overWatches)
		err = control.Quota.With("too many watches on this session")
	default:
		s.watches++
		b = w.beginLocked(args.Since)
		srv.watches[w] = struct{}{}
		srv.matchers.add(w.tenant, w.match, w)
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
		srv.matchers.remove(w.tenant, w.match, w)
		s.watches--
		s.checkIdleLocked()
	})
}

// beginning is what a watch sends first: a snapshot, or the changes since a
// rev. Both are drawn in one step with the registration, and are shared with
// the registry, not copied: they do not count in the queue.
type beginning struct {
	rights  *rights // that hold for it
	lagged  bool
	rev     uint64
	entries []*names.Entry
	changes []names.Change
}

func (w *watch) beginLocked(since *uint64) beginning {
	reg, r := w.sess.srv.registry, w.sess.rights.Load()
	if since != nil && *since > w.sess.srv.newRev {
		hidden := false // the rev of a change that does not exist for the peer is no rev
		if n, changed := reg.Changed(*since); changed {
			hidden = !r.sees(n)
		}
		if changes, ok := reg.Since(*since); ok && !hidden {
			rev, _ := reg.Snapshot(time.Now())
			return beginning{rights: r, rev: rev, changes: changes}
		}
	}
	rev, entries := reg.Snapshot(time.Now())
	return beginning{rights: r, lagged: since != nil, rev: rev, entries: entries}
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
		case ev.event != nil:
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
func (w *watch) next() (told, *beginning, error) {
	w.sess.srv.mu.Lock()
	defer w.sess.srv.mu.Unlock()
	switch {
	case w.ended != nil:
		return told{}, nil, w.ended
	case w.sender == senderPass: // who ends the passing pokes
		return told{}, nil, nil
	}
	w.sender = senderRun
	switch {
	case w.lagged:
		now, most := time.Now(), w.sess.srv.limits.WatchLags
		w.lags = append(w.lags, now)
		if n := len(w.lags); n >= most && now.Sub(w.lags[n-most]) < lagWindow {
			w.sess.srv.over.count(overLags)
			return told{}, nil, control.Quota.With(fmt.Sprintf("the watch lagged too often in a minute: %d times", most))
		}
		w.lags = w.lags[max(0, len(w.lags)-most):]
		w.lagged = false
		b := w.beginLocked(nil)
		b.lagged = true
		return told{}, &b, nil
	case len(w.queue) > 0:
		ev := w.queue[0]
		w.queue = w.queue[1:]
		w.bytes -= ev.size
		return ev, nil, nil
	}
	w.sender, w.queue = senderNone, nil
	return told{}, nil, nil
}

// pushLocked queues an event, or gives up the queue if it is full. While it
// waits to send a snapshot nothing is queued: the snapshot will hold it.
func (w *watch) pushLocked(ev told) {
	if w.lagged {
		return
	}
	l := &w.sess.srv.limits
	if len(w.queue) >= l.WatchEvents || w.bytes+ev.size > l.WatchBytes {
		w.queue, w.bytes, w.lagged = nil, 0, true
		w.sess.srv.over.count(overWatchQueue)
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

// covers reports whether a watch is for a name of the registry that exists for
// who has r.
func (w *watch) covers(r *rights, n names.Name) bool {
	return w.match.covers(r.tenant(), object(n)) && r.sees(n)
}

// sendBeginning sends a snapshot or the missed changes, and synced.
func (w *watch) sendBeginning(b beginning) error {
	out := w.call.Stream()
	if b.lagged {
		if err := out.SendJSON(text(&control.Event{Rev: b.rev, Type: control.EventLagged})); err != nil {
			return err
		}
	}
	r := b.rights
	for _, e := range b.entries {
		if !w.covers(r, e.Name) {
			continue
		}
		entry := r.entry(e)
		if err := out.SendJSON(text(&control.Event{Rev: b.rev, Type: control.EventConnected, Name: entry.Name, Entry: &entry})); err != nil {
			return err
		}
	}
	for i := range b.changes {
		if !w.covers(r, b.changes[i].Name) {
			continue
		}
		ev := newEvent(&b.changes[i])
		if err := out.SendJSON(told{ev, r.formFor(ev)}.write()); err != nil {
			return err
		}
	}
	return out.SendJSON(text(&control.Event{Rev: b.rev, Type: control.EventSynced}))
}
