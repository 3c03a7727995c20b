package switchboard

import (
	"sync"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/names"
)

// event is one change as all its watchers get it; it is written once, when the
// first of them asks.
type event struct {
	text func() []byte
	size int // of the text, nearly: what a queue is charged
}

// eventSize is the size of an event's text without its name and info, nearly.
const eventSize = 320

func newEvent(c *names.Change) *event {
	size := eventSize + len(c.Name)
	if c.Entry != nil {
		size += len(c.Name) + len(c.Entry.Info)
	}
	return &event{size: size, text: sync.OnceValue(func() []byte { return changeText(c) })}
}

// changeText writes a change as an EVENT.
func changeText(c *names.Change) []byte {
	ev := control.Event{Rev: c.Rev, Type: string(c.Kind), Name: string(c.Name)}
	if c.Entry != nil && c.Kind != names.Disconnected {
		e := wireEntry(c.Entry)
		ev.Entry = &e
	}
	if c.Was != nil {
		ev.Was = &control.Was{ID: c.Was.Key, Session: control.FormatSession(c.Was.Session), Epoch: c.Was.Epoch}
	}
	return text(&ev)
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
	w  *watch
	ev *event
}

// publishLocked hands changes of the registry to those who watch them. What it
// returns has to be passed on by pass, without the lock: at most n events.
func (b *books) publishLocked(changes []names.Change, n int) (now []passing) {
	for i := range changes {
		ev := newEvent(&changes[i])
		b.matcher.Each(changes[i].Name, func(w *watch) {
			if w.sender == senderNone && len(w.queue) == 0 && !w.lagged && w.ended == nil && len(now) < n {
				w.sender = senderPass
				now = append(now, passing{w, ev})
				return
			}
			w.pushLocked(ev)
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
			now[i].ev = nil
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range now {
		p.w.passedLocked(p.ev)
	}
}

// passedLocked ends a passing; ev is what could not be sent, or nil.
func (w *watch) passedLocked(ev *event) {
	w.sender = senderNone
	if ev != nil && !w.lagged {
		w.queue = append([]*event{ev}, w.queue...)
		w.bytes += ev.size
	}
	if len(w.queue) > 0 || w.lagged || w.ended != nil {
		w.poke()
	}
}
