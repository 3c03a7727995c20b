package switchboard

import (
	"sync"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

// event is one change as all its watchers get it; each of its forms is written
// once, when the first of them asks.
type event struct {
	change *names.Change
	object policy.Object
	size   int // of a form's text, nearly: what a queue is charged
	forms  [forms]struct {
		once sync.Once
		text []byte
	}
}

// form is how a watcher is told of a change.
type form uint8

const (
	formOwn     form = iota // of its own tenant
	formWaiters             // the same, with how many wait: for those who may own the name
	formForeign             // of another tenant
	forms
)

// told is an event in its form for one watcher.
type told struct {
	*event
	form form
}

// eventSize is the size of an event's text without its name and info, nearly.
const eventSize = 320

func newEvent(c *names.Change) *event {
	size := eventSize + len(c.Name)
	if c.Entry != nil {
		size += len(c.Name) + len(c.Entry.Info)
	}
	return &event{change: c, object: object(c.Name), size: size}
}

// text writes the event, once for all that are told so.
func (t told) text() []byte {
	f := &t.forms[t.form]
	f.once.Do(func() { f.text = t.write() })
	return f.text
}

// write writes a change as an EVENT.
func (t told) write() []byte {
	c := t.change
	ev := control.Event{Rev: c.Rev, Type: string(c.Kind), Name: string(t.object.Name)}
	if t.form == formForeign {
		ev.Name = policy.TenantText(t.object.Tenant) + tenantMark + ev.Name
	}
	if c.Entry != nil && c.Kind != names.Disconnected {
		e := wireEntry(c.Entry)
		e.Name = ev.Name
		if t.form != formWaiters {
			e.Waiters = 0
		}
		ev.Entry = &e
	}
	if c.Was != nil {
		ev.Was = &control.Was{ID: c.Was.Key, Session: control.FormatSession(c.Was.Session), Epoch: c.Was.Epoch}
	}
	return text(&ev)
}

// formFor is how who has r is told of a change of a name that it sees.
func (r *rights) formFor(ev *event) form {
	switch {
	case (!r.all || r.rules.tenants) && ev.object.Tenant != r.tenant():
		return formForeign
	case ev.change.Entry != nil && ev.change.Entry.Waiters > 0 && r.may(policy.Own, ev.object):
		return formWaiters
	}
	return formOwn
}

func text(ev *control.Event) []byte {
	b := make([]byte, 0, eventSize+len(ev.Name))
	return control.AppendEvent(b, ev)
}

// maxPassing is how many watches a publisher serves itself. The others wake
// up, and are served side by side.
const maxPassing = 4

// passing is one event on its way to a watch that had nothing to send.
type passing struct {
	w    *watch
	ev   told
	sent bool
}

// publishLocked hands changes of the registry to those who watch them. What it
// returns has to be passed on by pass, without the lock: at most n events.
func (b *books) publishLocked(changes []names.Change, n int) (now []passing) {
	crossing := b.rules.Load().tenants
	for i := range changes {
		ev := newEvent(&changes[i])
		b.countLocked(ev)
		b.matchers.each(ev.object, crossing, func(w *watch) {
			r := w.sess.rights.Load()
			if !r.sees(changes[i].Name) {
				return
			}
			t := told{ev, r.formFor(ev)}
			if w.sender == senderNone && len(w.queue) == 0 && !w.lagged && w.ended == nil && len(now) < n {
				w.sender = senderPass
				now = append(now, passing{w: w, ev: t})
				return
			}
			w.pushLocked(t)
		})
	}
	return now
}

// pass sends events to their watches as far as that needs no wait: a change
// reaches its watchers without a detour over their goroutines.
func (b *books) pass(now []passing) {
	if len(now) == 0 {
		return
	}
	for i, p := range now {
		// A stream that takes nothing any more has ended, which run sees.
		if sent, err := p.w.call.Stream().TrySendJSON(p.ev.text()); sent || err != nil {
			now[i].sent = true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range now {
		p.w.passedLocked(p)
	}
}

// countLocked counts a tenant's names.
func (b *books) countLocked(ev *event) {
	switch tenant := ev.object.Tenant; ev.change.Kind {
	case names.Connected:
		b.owned[tenant]++
	case names.Disconnected:
		if b.owned[tenant]--; b.owned[tenant] == 0 {
			delete(b.owned, tenant)
		}
	}
}

// passedLocked ends a passing; what could not be sent is the first to be sent
// later.
func (w *watch) passedLocked(p passing) {
	w.sender = senderNone
	if !p.sent && !w.lagged {
		w.queue = append([]told{p.ev}, w.queue...)
		w.bytes += p.ev.size
	}
	if len(w.queue) > 0 || w.lagged || w.ended != nil {
		w.poke()
	}
}
