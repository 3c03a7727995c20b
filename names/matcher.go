package names

import "strings"

// Matcher holds patterns, each with who is interested in its names, and finds all whose pattern covers a name in time that depends
// on those, not on how many there are. The zero Matcher is empty. Not safe for concurrent use.
type Matcher[K comparable] struct {
	root element[K]
}

// element is what is held for patterns with the same elements up to here.
type element[K comparable] struct {
	next  map[string]*element[K] // by the next element, "*" too
	here  map[K]struct{}         // patterns that end here
	below map[K]struct{}         // patterns that go on with "**" and end
}

// Add enters k under p. Under one pattern it is there at most once.
func (m *Matcher[K]) Add(p Pattern, k K) {
	e := &m.root
	for rest, more := p.String(), true; more; {
		var word string
		word, rest, more = strings.Cut(rest, ".")
		if word == anyRest {
			enter(&e.below, k)
			return
		}
		if e.next == nil {
			e.next = make(map[string]*element[K])
		}
		if e.next[word] == nil {
			e.next[word] = &element[K]{}
		}
		e = e.next[word]
	}
	enter(&e.here, k)
}

func enter[K comparable](set *map[K]struct{}, k K) {
	if *set == nil {
		*set = make(map[K]struct{})
	}
	(*set)[k] = struct{}{}
}

// Remove undoes Add.
func (m *Matcher[K]) Remove(p Pattern, k K) { m.root.remove(p.String(), k) }

// remove reports whether nothing is left at e.
func (e *element[K]) remove(pattern string, k K) bool {
	word, rest, more := strings.Cut(pattern, ".")
	next := e.next[word]
	switch {
	case word == anyRest:
		delete(e.below, k)
	case next == nil:
	case more && next.remove(rest, k):
		delete(e.next, word)
	case !more:
		if delete(next.here, k); next.empty() {
			delete(e.next, word)
		}
	}
	return e.empty()
}

func (e *element[K]) empty() bool { return len(e.next)+len(e.here)+len(e.below) == 0 }

// Each calls f for every k whose pattern covers n, in no order; f must not change m.
func (m *Matcher[K]) Each(n Name, f func(K)) { m.root.each(string(n), f) }

func (e *element[K]) each(name string, f func(K)) {
	for k := range e.below {
		f(k)
	}
	if len(e.next) == 0 {
		return
	}
	word, rest, more := strings.Cut(name, ".")
	for _, next := range [2]*element[K]{e.next[word], e.next[anyElement]} {
		switch {
		case next == nil:
		case more:
			next.each(rest, f)
		default:
			for k := range next.here {
				f(k)
			}
		}
	}
}

// Empty reports whether nothing is held.
func (m *Matcher[K]) Empty() bool { return m.root.empty() }
