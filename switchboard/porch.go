package switchboard

import "container/list"

// porch is where connections wait for their handshake to begin while more come
// than the server wants to spend on. The sources take turns, and one of which
// nobody waited is the next: who comes once is not behind those that come all the
// time. Who has to go is of the source that has the most there. Of a source it is
// the oldest in both cases. It is pure.
type porch struct {
	n     int
	of    map[source]*queue
	turns list.List    // of *queue, whose turn is next first
	sizes []*list.List // of *queue, by how many wait in it
}

// queue are the connections of one source on a porch: at least one.
type queue struct {
	source source
	all    []*waiting
	turn   *list.Element
	size   *list.Element
}

func (p *porch) add(w *waiting) {
	q := p.of[w.source]
	if q == nil {
		if p.of == nil {
			p.of = make(map[source]*queue)
		}
		q = &queue{source: w.source}
		q.turn = p.turns.PushFront(q)
		p.of[w.source] = q
	}
	p.resize(q, append(q.all, w))
	p.n++
}

// prefer makes it the turn of a source, if anybody of it waits.
func (p *porch) prefer(src source) {
	if q := p.of[src]; q != nil {
		p.turns.MoveToFront(q.turn)
	}
}

// next takes out the connection whose turn it is. It returns nil if there is none.
func (p *porch) next() *waiting {
	front := p.turns.Front()
	if front == nil {
		return nil
	}
	p.turns.MoveToBack(front)
	return p.take(front.Value.(*queue))
}

// heaviest takes out the connection that is the first to go. It returns nil if
// there is none.
func (p *porch) heaviest() *waiting {
	for n := len(p.sizes) - 1; n > 0; n-- {
		if front := p.sizes[n].Front(); front != nil {
			return p.take(front.Value.(*queue))
		}
	}
	return nil
}

func (p *porch) take(q *queue) *waiting {
	w := q.all[0]
	q.all[0] = nil
	p.resize(q, q.all[1:])
	p.n--
	if len(q.all) == 0 {
		p.turns.Remove(q.turn)
		delete(p.of, q.source)
	}
	return w
}

func (p *porch) resize(q *queue, to []*waiting) {
	if q.size != nil {
		p.sizes[len(q.all)].Remove(q.size)
		q.size = nil
	}
	q.all = to
	if n := len(to); n > 0 {
		for len(p.sizes) <= n {
			p.sizes = append(p.sizes, list.New())
		}
		q.size = p.sizes[n].PushBack(q)
	}
}
