package channel

// act are the things that happen by themselves, or by an application, at one
// end.
var act = map[string]func(*modelEnd) bool{
	"write":  (*modelEnd).write,
	"end":    (*modelEnd).end,
	"pull":   (*modelEnd).pull,
	"commit": (*modelEnd).commit,
	"mark":   (*modelEnd).readMark,
	"close":  (*modelEnd).close,
	"finish": func(e *modelEnd) bool { return e.finish(false) },
}

// rare are what ends more than one direction, or undoes what was done.
var rare = map[string]func(*modelEnd) bool{
	"time":   func(e *modelEnd) bool { return e.finish(true) },
	"abort":  (*modelEnd).aborts,
	"giveup": (*modelEnd).giveUp,
	"kill lane": func(e *modelEnd) bool {
		e.cause = true
		e.kill(&e.lane)
		return true
	},
	"kill link": func(e *modelEnd) bool {
		if e.link == nil {
			return false
		}
		e.cause = true
		e.kill(e.link)
		return true
	},
}

var (
	// Some more often than others, so that most runs get somewhere.
	steps = []string{
		"connect", "write", "write", "pull", "pull", "pull", "commit", "commit", "mark", "mark", "end", "reset", "close", "finish", "rare",
	}
	rares = []string{"time", "abort", "giveup", "kill lane", "kill link", "kill link", "kill link"}
)

func (w *world) run() {
	for range w.pick(60, "steps") {
		w.step()
	}
	w.settle()
}

// step does one thing, anywhere.
func (w *world) step() {
	e := w.ends[w.pick(2, "end")]
	switch kind := steps[w.pick(len(steps), "step")]; kind {
	case "connect":
		w.connect()
	case "reset":
		w.reset()
	case "rare":
		rare[rares[w.pick(len(rares), "rare")]](e)
	default:
		act[kind](e)
	}
}

// reset is the server's, of both lanes, when the caller is done with them.
func (w *world) reset() bool {
	if !w.moved || w.lane[0].dead && w.lane[1].dead {
		return false
	}
	w.kill(&w.lane)
	return true
}

// aborts is the application's.
func (e *modelEnd) aborts() bool {
	if e.broken || e.gone {
		return false
	}
	e.cause = true
	e.breaks()
	e.gone = true
	return true
}

// giveUp is the end of Move's time at the caller, whose mark waits for a Write.
func (e *modelEnd) giveUp() bool {
	if e.i != 0 || !e.moving || e.m.committed {
		return false
	}
	e.unlink()
	return true
}

// close begins a Close. Without a link that is the lane's.
func (e *modelEnd) close() bool {
	if e.closed {
		return false
	}
	e.closed = true
	if e.broken || e.m.linked || e.m.committed {
		e.end()
		return true
	}
	e.end()
	e.gone = true
	e.closeLane()
	return true
}

// closeLane closes a lane: what comes is dropped, and who sends on is told.
func (e *modelEnd) closeLane() {
	if peer := e.ends[1-e.i]; !peer.ended {
		e.cause = true // of the reset that a Write to nobody gets
	}
	e.lane[e.i] = queue{dead: true}
}

// finish is the end of a Close that lingers: when nothing is left to wait for,
// or when its time is over.
func (e *modelEnd) finish(late bool) bool {
	if !e.closed || e.gone {
		return false
	}
	// A callee waits for the mark even when both directions have ended: the
	// caller may not have read its end, and cannot know that it will come.
	over := e.ended && e.eof && (e.linked || e.m.in == inLink || e.link == nil || !e.m.marked) &&
		(!e.moving || e.m.finished() && e.m.caller)
	if !over && !late && !e.broken && !e.outErr && !e.inErr {
		return false
	}
	e.cause = e.cause || late
	e.gone = true
	switch {
	case e.broken:
	case e.m.done():
		e.closeLink()
	case e.m.finished(), !e.m.committed && !e.m.marked:
		if e.link != nil {
			e.abort(e.link)
			e.link, e.moving, e.m.linked = nil, false, false
		}
		e.closeLane()
	default:
		e.breaks()
	}
	return true
}

// closeLink closes the link as TCP does: if something is left that nobody has
// read, the other end may lose what it has not read either.
func (e *modelEnd) closeLink() {
	if q := &e.link[e.i]; len(q.items) > 0 {
		e.cut(&e.link[1-e.i])
	}
	e.link[e.i] = queue{dead: true}
}

// settle lets both applications end and read what comes, until nothing happens
// any more. Then everything has to be over.
func (w *world) settle() {
	for busy := true; busy; {
		busy = w.reset()
		for _, e := range w.ends {
			for _, do := range []string{"end", "pull", "commit", "mark", "finish"} {
				for act[do](e) {
					busy = true
				}
			}
			if (e.outErr || e.inErr) && e.close() { // an application that was told
				busy = true
			}
		}
	}
	for _, e := range w.ends {
		switch {
		case e.gone || e.broken || e.inErr:
		case !e.ended:
			w.t.Fatalf("end %d cannot end: %+v", e.i, e.m)
		case !e.eof:
			w.t.Fatalf("end %d waits for ever: %+v", e.i, e.m)
		case e.closed:
			w.t.Fatalf("end %d lingers: %+v", e.i, e.m)
		}
	}
}
