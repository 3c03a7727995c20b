package channel

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// The model: two cores, a lane and a link between them, and what the Path does
// around each core, with nothing of nets and goroutines left.

// item is what a queue holds: a byte of the channel, a mark, or an end.
type item struct {
	kind byte // 'b', 'm', 'e'
	at   int  // of a byte: its place in its direction
	mark mark
}

// queue is one direction of a lane or a link. A dead one still gives what was
// in flight and is not lost, then an error.
type queue struct {
	items []item
	dead  bool
}

// duplex is a lane or a link: the queue that each end reads.
type duplex [2]queue

// modelEnd is one end: its core, its driver and its application.
type modelEnd struct {
	*world
	i int
	m move

	link   *duplex // as the Path's
	moving bool    // Move is under way: it waits for the mark, or for its time
	fixed  bool
	broken bool

	wrote, read    int
	ended, eof     bool // half-closed by the application; the end was read
	outErr, inErr  bool // the application was told
	closed, linked bool // closed; the other end's goodbye on the link was read
	gone           bool // nothing is left of it
}

// world is a run of the model.
type world struct {
	t     interface{ Fatalf(string, ...any) }
	pick  func(n int, what string) int // a number below n
	ends  [2]*modelEnd
	lane  duplex
	cause bool // something has died, was aborted, or has run out of time
	moved bool // the caller is done with the lane
}

func newWorld() *world {
	w := &world{}
	for i := range w.ends {
		w.ends[i] = &modelEnd{world: w, i: i, m: move{caller: i == 0}}
	}
	return w
}

func (w *world) coin(what string) bool { return w.pick(2, what) == 1 }

// cut kills a queue; of what is in flight a part arrives.
func (w *world) cut(q *queue) {
	q.items = q.items[:w.pick(len(q.items)+1, "survive")]
	q.dead = true
}

// kill is the death of a lane or a link somewhere between the ends.
func (w *world) kill(d *duplex) {
	w.cut(&d[0])
	w.cut(&d[1])
}

// abort is that of one end, which reads nothing more.
func (e *modelEnd) abort(d *duplex) {
	d[e.i] = queue{dead: true}
	e.cut(&d[1-e.i])
}

// put sends; into a dead queue it may go unnoticed.
func (e *modelEnd) put(d *duplex, it item) (ok bool) {
	q := &d[1-e.i]
	if q.dead {
		return e.coin("unnoticed")
	}
	q.items = append(q.items, it)
	return true
}

// take receives; ok: something has come; dead: nothing will.
func (e *modelEnd) take(d *duplex) (it item, ok, dead bool) {
	q := &d[e.i]
	if len(q.items) == 0 {
		return item{}, false, q.dead
	}
	it = q.items[0]
	q.items = q.items[1:]
	return it, true, false
}

// breaks resets the channel.
func (e *modelEnd) breaks() {
	if !e.cause {
		e.t.Fatalf("end %d: reset without a cause: %+v", e.i, e.m)
	}
	e.broken, e.moving = true, false
	e.outErr, e.inErr = true, true
	e.abort(&e.lane)
	if e.link != nil {
		e.abort(e.link)
	}
}

// laneErr is what the Path makes of an error of the lane.
func (e *modelEnd) laneErr() {
	if !e.cause {
		e.t.Fatalf("end %d: the lane is dead without a cause: %+v", e.i, e.m)
	}
	if e.m.committed || e.m.marked {
		e.breaks()
		return
	}
	e.fixed = true
	if e.link != nil {
		e.abort(e.link)
	}
}

// connect makes a link: the callee registers it first.
func (w *world) connect() bool {
	caller, callee := w.ends[0], w.ends[1]
	if caller.moving || callee.moving || !callee.mayMove() || !callee.m.link() {
		return false
	}
	d := &duplex{}
	callee.link, callee.moving = d, true
	if caller.mayMove() && caller.m.link() {
		caller.link, caller.moving = d, true
	} else {
		caller.abort(d)
	}
	return true
}

func (e *modelEnd) mayMove() bool { return !e.broken && !e.fixed && !e.closed }

// unlink ends a Move that came to nothing, or breaks the channel.
func (e *modelEnd) unlink() {
	e.moving = false
	if !e.m.unlink() {
		e.breaks()
		return
	}
	e.abort(e.link)
	e.link = nil
}

// commit writes our mark if it is due.
func (e *modelEnd) commit() bool {
	if e.broken || e.fixed || e.link == nil || !e.m.due() {
		return false
	}
	k := e.m.commit()
	ok := e.put(e.link, item{kind: 'm', mark: k})
	if ok && !k.more {
		ok = e.put(e.link, item{kind: 'e'})
	}
	if !ok && k.more {
		e.breaks()
	} else if !ok {
		e.abort(e.link)
	}
	return true
}

// readMark is the rest of Move.
func (e *modelEnd) readMark() bool {
	switch {
	case !e.moving:
		return false
	case e.m.done():
		e.moving = false
		e.moved = e.moved || e.i == 0
		return true
	case e.m.marked || e.i == 0 && !e.m.committed:
		return false
	}
	it, ok, dead := e.take(e.link)
	switch {
	case dead:
		e.unlink()
	case !ok:
		return false
	case it.kind != 'm':
		e.t.Fatalf("end %d reads %c for a mark", e.i, it.kind)
	case e.fixed || !e.m.peerMark(it.mark):
		e.breaks()
	}
	return true
}

// write is one byte of the application.
func (e *modelEnd) write() bool {
	if e.outErr || e.ended || e.closed {
		return false
	}
	e.commit()
	it := item{kind: 'b', at: e.wrote}
	switch {
	case e.broken:
	case e.m.out == outLink:
		if e.wrote++; !e.put(e.link, it) {
			e.breaks()
		}
	case e.put(&e.lane, it):
		e.wrote++
		e.m.wrote(1)
	default:
		e.outErr = true
		e.laneErr()
	}
	return true
}

// end is the half-close of the application, or of its Close.
func (e *modelEnd) end() bool {
	if e.outErr || e.ended {
		return false
	}
	e.commit()
	if e.broken {
		return true
	}
	e.ended = true
	if e.m.out == outLink {
		e.m.end()
		if !e.put(e.link, item{kind: 'e'}) {
			e.breaks()
		}
		return true
	}
	if !e.put(&e.lane, item{kind: 'e'}) {
		e.outErr = true
		e.laneErr()
		return true
	}
	e.m.end()
	return true
}

// pull is a read of the application, or behind its Close.
func (e *modelEnd) pull() bool {
	if e.inErr || e.gone || e.closed && e.linked {
		return false
	}
	d := &e.lane
	if e.m.in == inLink {
		d = e.link
	}
	if e.eof && (e.m.in == inLink || !e.closed || e.link == nil || !e.m.marked) {
		return false
	}
	if e.eof {
		d = e.link // a mark 00 was read: its goodbye follows
	}
	it, ok, dead := e.take(d)
	switch {
	case dead && e.eof:
		e.linked = true
	case dead && d == &e.lane:
		e.inErr = true
		e.laneErr()
	case dead:
		e.breaks()
	case !ok:
		return false
	case it.kind == 'e' && e.eof:
		e.linked = true
	case it.kind == 'e':
		e.readEnd(d)
	default:
		e.readByte(d, it)
	}
	return true
}

func (e *modelEnd) readEnd(d *duplex) {
	if d == &e.lane && !e.m.laneEnd() {
		e.breaks()
		return
	}
	e.eof = true
	if peer := e.ends[1-e.i]; !peer.ended || e.read != peer.wrote {
		e.t.Fatalf("end %d reads an end behind %d bytes of %d", e.i, e.read, peer.wrote)
	}
}

func (e *modelEnd) readByte(d *duplex, it item) {
	if d == &e.lane && !e.m.read(1) {
		e.breaks()
		return
	}
	if it.at != e.read {
		e.t.Fatalf("end %d reads byte %d, want %d", e.i, it.at, e.read)
	}
	e.read++
}

// TestMoveModel is for what it finds to be made short.
func TestMoveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.t = t
		w.pick = func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		w.run()
	})
}

// TestMoveSchedules goes many more ways than TestMoveModel can in the time.
func TestMoveSchedules(t *testing.T) {
	schedules := 100_000
	if testing.Short() {
		schedules = 10_000
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range schedules {
		w := newWorld()
		w.t = t
		w.pick = func(n int, _ string) int { return rng.IntN(n) }
		w.run()
	}
}
