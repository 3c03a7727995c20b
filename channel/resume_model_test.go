package channel

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// resumeEnd is one end of the model: a core, what its application has done, and
// the paths as it knows them.
type resumeEnd struct {
	c           resumeCore
	paths       map[int]*resumePath
	wrote, read uint64
	ended, eof  bool
}

// resumeWire is one path: what is under way to each end, in order.
type resumeWire struct {
	to   [2][]byte
	dead bool
}

// resumeWorld is two ends and the paths between them.
type resumeWorld struct {
	t     *rapid.T
	ends  [2]*resumeEnd
	wires []*resumeWire
}

const modelWindow = MinWindow

func numbered(off uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		at := off + uint64(i)
		b[i] = byte(at ^ at>>8 ^ at>>16)
	}
	return b
}

func (w *resumeWorld) pick(n int, what string) int { return rapid.IntRange(0, n-1).Draw(w.t, what) }

// open adds a path at one end, or both; the other end may hear of it later.
func (w *resumeWorld) open(link bool) {
	w.wires = append(w.wires, &resumeWire{})
	id := len(w.wires) - 1
	for i, e := range w.ends {
		e.paths[id] = &resumePath{link: link, mute: !link && i == 1, hello: !link && i == 0}
		e.c.add(e.paths[id])
	}
}

// write, read and end are the application's.
func (w *resumeWorld) write(e *resumeEnd, n int) {
	if e.ended {
		return
	}
	e.wrote += uint64(e.c.write(numbered(e.wrote, n)))
}

func (w *resumeWorld) readSome(i, n int) {
	e, other := w.ends[i], w.ends[1-i]
	b := make([]byte, n)
	n = e.c.read(b)
	if !bytes.Equal(b[:n], numbered(e.read, n)) {
		w.t.Fatalf("end %d reads something else at %d", i, e.read)
	}
	e.read += uint64(n)
	e.eof = e.c.eof()
	if e.read > other.wrote || e.eof && (!other.ended || e.read != other.wrote) {
		w.t.Fatalf("end %d has read %d, end %v; written were %d, end %v", i, e.read, e.eof, other.wrote, other.ended)
	}
}

// send lets an end put what it has on a path.
func (w *resumeWorld) send(i, id int) bool {
	p := w.ends[i].paths[id]
	if p == nil {
		return false
	}
	b := w.ends[i].c.next(p, nil)
	w.ends[i].c.part(p)
	if len(b) > 0 && !w.wires[id].dead {
		w.wires[id].to[1-i] = append(w.wires[id].to[1-i], b...)
	}
	return len(b) > 0
}

// deliver lets an end take one frame of a path, or learn of its death.
func (w *resumeWorld) deliver(i, id int) bool {
	wire, p := w.wires[id], w.ends[i].paths[id]
	if p == nil {
		return false
	}
	b := wire.to[i]
	if len(b) == 0 {
		if wire.dead {
			w.ends[i].c.dead(p)
			delete(w.ends[i].paths, id)
		}
		return wire.dead
	}
	f, err := parseFrame(b)
	if err != nil {
		w.t.Fatalf("end %d has sent %x", 1-i, b[:frameHead])
	}
	n := frameHead
	if f.kind == frameData {
		n += int(f.n)
	}
	if _, err := w.ends[i].c.take(p, f, b[frameHead:n]); err != nil {
		w.t.Fatalf("end %d refuses %+v", i, f)
	}
	wire.to[i] = b[n:]
	return true
}

// kill is the death of a path; what is under way may arrive in part, by frames,
// or not.
func (w *resumeWorld) kill(id int) {
	wire := w.wires[id]
	wire.dead = true
	for i := range wire.to {
		b := wire.to[i]
		end := 0
		for at := 0; at < len(b) && w.pick(3, "arrives") > 0; end = at {
			f, _ := parseFrame(b[at:])
			at += frameHead
			if f.kind == frameData {
				at += int(f.n)
			}
		}
		wire.to[i] = b[:end]
	}
}

// check is what always holds.
func (w *resumeWorld) check() {
	for i, e := range w.ends {
		out := e.c.out.end - min(e.c.out.una, e.c.out.end)
		if out > modelWindow || e.c.out.held.size() > modelWindow+blockSize {
			w.t.Fatalf("end %d keeps %d bytes in %d", i, out, e.c.out.held.size())
		}
		if in := e.c.in.high() - e.c.in.read; in > modelWindow || e.c.in.held.size() > modelWindow+blockSize {
			w.t.Fatalf("end %d holds up to %d bytes in %d", i, in, e.c.in.held.size())
		}
	}
}

// step is one random event.
func (w *resumeWorld) step() {
	i, id := w.pick(2, "end"), w.pick(len(w.wires), "path")
	switch w.pick(10, "event") {
	case 0, 1:
		w.write(w.ends[i], 1+w.pick(40_000, "bytes"))
	case 2:
		w.readSome(i, 1+w.pick(40_000, "bytes"))
	case 3, 4, 5:
		w.send(i, id)
	case 6, 7:
		w.deliver(i, id)
	case 8:
		w.kill(id)
	case 9:
		switch w.pick(6, "seldom") {
		case 0:
			w.ends[i].c.end()
			w.ends[i].ended = true
		case 1, 2, 3:
			if len(w.wires) < 40 {
				w.open(true)
			}
		}
	}
	w.check()
}

// settle lets everything come to its end, over one more path.
func (w *resumeWorld) settle() {
	w.open(true)
	for i := range w.wires[:len(w.wires)-1] {
		w.kill(i)
	}
	for busy := true; busy; {
		busy = false
		for i, e := range w.ends {
			if !e.ended {
				e.c.end()
				e.ended = true
			}
			for id := range w.wires {
				busy = w.deliver(i, id) || busy
				busy = w.send(i, id) || busy
			}
			before := e.read
			w.readSome(i, 1<<20)
			busy = busy || e.read > before
			w.check()
		}
	}
	for i, e := range w.ends {
		if !e.eof || e.read != w.ends[1-i].wrote || !e.c.over() || e.c.waits() {
			w.t.Fatalf("end %d has read %d of %d, end %v, over %v", i, e.read, w.ends[1-i].wrote, e.eof, e.c.over())
		}
		if e.c.out.held.size()+e.c.in.held.size() != 0 {
			w.t.Fatalf("end %d still has memory", i)
		}
		if !e.c.parted {
			w.t.Fatalf("end %d has not said goodbye", i)
		}
	}
}

// TestResumeModel: two cores over paths that come and die at any time. What is
// read is what was written, the end comes where it was, nothing is refused, no
// end holds more than the window, and over one path that lives all comes to its
// end.
func TestResumeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &resumeWorld{t: t}
		for i := range w.ends {
			w.ends[i] = &resumeEnd{c: newResumeCore(modelWindow), paths: make(map[int]*resumePath)}
		}
		w.open(true)
		w.open(false)
		for range rapid.IntRange(0, 400).Draw(t, "steps") {
			w.step()
		}
		w.settle()
	})
}

// FuzzResumeCore: whatever comes, a core holds no more than its window, and
// sends nothing that it was not given.
func FuzzResumeCore(f *testing.F) {
	f.Add(frame{frameData, 0, 3}.append(nil), uint16(10))
	f.Add(append(append(frame{frameData, 2, 1}.append(nil), 'c'), frame{frameFin, 3, 0}.append(nil)...), uint16(0))
	f.Add(append(frame{frameAck, 10, 100}.append(nil), frame{kind: framePing}.append(nil)...), uint16(40_000))
	f.Fuzz(func(t *testing.T, b []byte, write uint16) {
		c, p := newResumeCore(modelWindow), &resumePath{}
		c.add(p)
		sent := uint64(c.write(numbered(0, int(write))))
		c.next(p, nil)
		for len(b) >= frameHead {
			f, err := parseFrame(b)
			if err != nil {
				return
			}
			b = b[frameHead:]
			var body []byte
			if f.kind == frameData {
				if int(f.n) > len(b) {
					return
				}
				body, b = b[:f.n], b[f.n:]
			}
			if _, err := c.take(p, f, body); err != nil {
				return
			}
			if c.in.held.size() > modelWindow+blockSize || c.out.held.size() > modelWindow+blockSize || c.in.next-c.in.read > modelWindow || len(c.in.parts) > maxParts {
				t.Fatal("it holds too much")
			}
			if c.out.una > sent || c.out.nxt > sent || c.out.nxt < c.out.una {
				t.Fatal("it is somewhere else than it can be")
			}
			if len(b)%3 == 0 {
				c.read(make([]byte, len(b)))
			}
			c.next(p, nil)
		}
	})
}
