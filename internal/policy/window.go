package policy

import "time"

const (
	windowLength  = 60 * time.Second
	windowEntries = 256
	windowGrain   = windowLength / (windowEntries / 2)
)

// Window counts what happened in the last 60 s: the real ones, not a rate over the
// time since the start. The zero Window is empty. Up to 256 different times are kept
// as they are. With more, those within half a second of each other count as the
// first of them, so that Count never says more than there were. Not safe for
// concurrent use.
type Window struct {
	entries []entry // by time, all within the window of the last call
	total   int
}

type entry struct {
	at time.Time
	n  int
}

// Add counts n more, now. A now before the last one counts as that.
func (w *Window) Add(now time.Time, n int) {
	now = w.expire(now)
	if n < 1 {
		return
	}
	w.total += n
	if last := len(w.entries) - 1; last >= 0 && w.entries[last].at.Equal(now) {
		w.entries[last].n += n
		return
	}
	if len(w.entries) == windowEntries {
		w.merge()
	}
	w.entries = append(w.entries, entry{now, n})
}

// Count returns how many there were in the last 60 s. What was 60 s ago is out.
func (w *Window) Count(now time.Time) int {
	w.expire(now)
	return w.total
}

// expire forgets what is too old, and returns now or the time of the last entry.
func (w *Window) expire(now time.Time) time.Time {
	if last := len(w.entries) - 1; last >= 0 && now.Before(w.entries[last].at) {
		now = w.entries[last].at
	}
	old := 0
	for old < len(w.entries) && now.Sub(w.entries[old].at) >= windowLength {
		w.total -= w.entries[old].n
		old++
	}
	switch {
	case old == 0:
	case old == len(w.entries):
		w.entries = nil // who is idle keeps no memory
	default:
		w.entries = w.entries[:copy(w.entries, w.entries[old:])]
	}
	return now
}

// merge makes one entry of those within a grain: at most half of them stay.
func (w *Window) merge() {
	kept := w.entries[:1]
	for _, e := range w.entries[1:] {
		if last := &kept[len(kept)-1]; e.at.Sub(last.at) < windowGrain {
			last.n += e.n
		} else {
			kept = append(kept, e)
		}
	}
	w.entries = kept
}

// What an Alarm is called, and above how many in the last 60 s it is raised.
const (
	HighMessageRate    = "high_message_rate" // connects
	HighMessages       = 50
	HighDataAccessRate = "high_data_access_rate" // reads: list, get, watch
	HighDataAccesses   = 100
)

// Alarm is a Window with a limit. Not safe for concurrent use.
type Alarm struct {
	Limit int
	Window

	raised bool
}

// Note counts one more and reports whether it raises the alarm: whether it is the
// first above Limit since there were no more than half of that.
func (a *Alarm) Note(now time.Time) bool {
	if a.Count(now) <= a.Limit/2 {
		a.raised = false
	}
	a.Add(now, 1)
	if a.raised || a.Count(now) <= a.Limit {
		return false
	}
	a.raised = true
	return true
}
