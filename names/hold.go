package names

import (
	"slices"
	"time"
)

// maxStale is how many holds that ended before their time may be listed, beside as many
// as there are others.
const maxStale = 64

// holds are the names that nobody owns and that only one key may claim: that
// whose session ended with the name, for Limits.Hold. A key has at most as many
// as it may have names.
type holds struct {
	list  []held // in the order of time
	names map[Name]held
	keys  map[[32]byte]int
}

type held struct {
	name  Name
	key   [32]byte
	until time.Time
}

// expire forgets the holds whose time is up.
func (h *holds) expire(now time.Time) {
	for len(h.list) > 0 && !h.list[0].until.After(now) {
		if h.names[h.list[0].name] == h.list[0] {
			h.end(h.list[0].name)
		}
		h.list = h.list[1:]
	}
	if len(h.list) == 0 {
		*h = holds{}
	}
}

// begin holds a name for a key, unless that has most holds.
func (h *holds) begin(n Name, key [32]byte, until time.Time, most int) {
	if h.keys[key] >= most {
		return
	}
	if h.names == nil {
		h.names, h.keys = make(map[Name]held), make(map[[32]byte]int)
	}
	h.end(n)
	hold := held{n, key, until}
	if len(h.list) > 2*len(h.names)+maxStale {
		h.list = slices.DeleteFunc(h.list, func(old held) bool { return h.names[old.name] != old })
	}
	h.list = append(h.list, hold)
	h.names[n] = hold
	h.keys[key]++
}

// end frees a name before its time.
func (h *holds) end(n Name) {
	hold, ok := h.names[n]
	if !ok {
		return
	}
	delete(h.names, n)
	if h.keys[hold.key]--; h.keys[hold.key] == 0 {
		delete(h.keys, hold.key)
	}
}

// refuses reports whether a name is held for another key.
func (h *holds) refuses(n Name, key [32]byte) bool {
	hold, ok := h.names[n]
	return ok && hold.key != key
}
