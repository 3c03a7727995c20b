//go:build fault

package fault_test

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// killer kills, at moments and in an order that the seed decides.
func (w *arena) killer(r *rand.Rand) {
	for !w.enough() {
		rest(time.Duration(r.Int64N(int64(2 * w.goal.every))))
		p := w.couples[r.IntN(len(w.couples))]
		switch n := r.IntN(10); {
		case n < 2:
			w.kills[0]++
			w.killServer(time.Duration(r.Int64N(int64(200 * time.Millisecond))))
		case n < 5:
			w.kills[1]++
			w.dies(p, true)
			p.count()
			p.proc.kill()
			w.dies(p, false)
			p.start()
		default:
			w.kills[2] += w.killLinks(r)
		}
	}
}

// count adds up what a plugin process has read and checked.
func (p *pairing) count() {
	if answer, ok := p.proc.do(order{Count: true}); ok {
		p.w.bytes.Add(answer.Held.Bytes)
		p.w.whole.Add(answer.Held.Whole)
	}
}

// doom notes that channels may end.
func (w *arena) doom(which func(*running) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.live {
		c.doomed = c.doomed || which(c)
	}
}

// dies notes that the channels to a plugin may end: all that are there, and those
// that come while it is dying.
func (w *arena) dies(p *pairing, dying bool) {
	w.doom(func(c *running) bool { return c.p == p })
	w.mu.Lock()
	defer w.mu.Unlock()
	p.dying = dying
}

// killServer kills the server, and starts it again after a while. The channels
// that have moved go on.
func (w *arena) killServer(down time.Duration) {
	w.mu.Lock()
	w.killing = true
	for c := range w.live {
		conn := c.conn.Load()
		c.spared = conn != nil && conn.Link() != ""
		c.doomed = c.doomed || !c.spared
	}
	w.mu.Unlock()
	w.d.kill()
	rest(down)
	w.mu.Lock()
	w.killing = false
	w.mu.Unlock()
	w.d.start()
}

// killLinks kills some, at the callers or in a plugin process.
func (w *arena) killLinks(r *rand.Rand) int {
	n, seed := 1+r.IntN(5), r.Uint64()
	p := w.couples[r.IntN(len(w.couples))]
	w.mayLose(p, n)
	if r.IntN(2) == 0 {
		answer, ok := p.proc.do(order{KillLinks: n, Seed: seed})
		if !ok {
			w.t.Errorf("%s: the plugin process has died", p.name)
			return 0
		}
		return *answer.Killed
	}
	for _, other := range w.couples { // our links are of all of them
		w.mayLose(other, n)
	}
	port, err := strconv.Atoi(w.d.port)
	must(w.t, err)
	return killLinks(r, n, port)
}

func (w *arena) mayLose(p *pairing, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.linkKills += n
}
