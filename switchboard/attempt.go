package switchboard

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// attempt is a connect on a yamux lane to a callee with yamux. It has no
// goroutine: each step runs where what it waited for was read, and waits for
// nothing. What would have to wait is left to connect.
//
//	begin, at the caller's reader ──offer is written──▸ pending ──yes, at the callee's reader──▸ relayed
//	   └── serveConnect, or refused                        └── no, timeout, an end is gone ──▸ refused
type attempt struct {
	s      *session
	link   *link
	lane   *mux.Stream // the caller's
	req    int32
	wish   wish
	target *session
	epoch  uint64
	offer  *mux.Stream
	over   atomic.Bool // whoever sets it decides

	mu    sync.Mutex
	timer *time.Timer
	quiet func() bool // ends the watch on lane
}

// quickPacket is the size of a first packet that is parsed on the reader.
const quickPacket = 2 << 10

// quickFirst returns a lane's first packet if it is there already, and small.
func quickFirst(lane *mux.Stream) (muxrpc.Packet, bool) {
	if size, _, _ := whole(lane); size == 0 || size > quickPacket {
		return muxrpc.Packet{}, false
	}
	p, err := muxrpc.ReadPacket(lane, quickPacket)
	return p, err == nil // it waits for nothing, and cannot fail but by a reset, which is seen again
}

// whole returns the size of the packet that a stream begins with if all of it
// is there, else 0; how many bytes wait; and whether no more will come.
func whole(lane *mux.Stream) (size, waits int, ended bool) {
	var head [muxrpc.WholeHead]byte
	waits, ended = lane.Peek(head[:])
	return muxrpc.Whole(head[:], waits), waits, ended
}

// tryConnect serves a connect without a goroutine, and reports whether it could.
func (s *session) tryConnect(lane *mux.Stream, req int32, c call, by *mux.Batch) bool {
	target, f, free, err := s.tryReserve(c)
	if err != nil {
		s.log.Debug("connect refused", "to", c.args.To, "err", err)
		s.failedOpen(c.args.To, err)
		s.spawn(func() { refuse(lane, req, err) })
		return true
	}
	if free != nil {
		return false
	}
	reserved := true
	defer func() {
		if reserved { // a panic
			s.srv.unreserve(target, s.key)
		}
	}()
	a := &attempt{s: s, lane: lane, req: req, target: target, epoch: f.epoch}
	id := channel.NewID()
	if f.mux != nil {
		a.wish, err = s.wishFor(c, target, id, true)
		if err == nil {
			a.offer, _ = f.mux.TryOpen() // it has to wait, or fails: connect finds out
		}
	}
	if err == nil && a.offer != nil {
		a.mu.Lock() // fail, which may come at once, waits for link
		if a.link, err = s.newLink(id, c.args.To, lane, a.fail); err == nil {
			a.link.meant(f.to, target)
		}
		a.mu.Unlock()
	}
	if a.link == nil {
		if a.offer != nil {
			a.offer.Abort()
		}
		s.srv.dropSecrets(s.key, id)
		s.srv.unreserve(target, s.key)
		reserved = false
		if err != nil {
			s.failedOpen(c.args.To, err)
			s.spawn(func() { refuse(lane, req, err) })
		}
		return err != nil
	}
	reserved = false
	by.Gather(f.mux)
	a.begin(c, s.offerArgs(a.link, c, f, &a.wish))
	return true
}

// begin writes the offer and arms what may end the wait for its answer.
func (a *attempt) begin(c call, offer control.OfferArgs) {
	if err := writeCall(a.offer, control.MethodOffer, "duplex", &offer); err != nil {
		a.fail(offerError(err))
		return
	}
	a.mu.Lock() // fail, which may be there already, waits
	a.timer = time.AfterFunc(c.timeout, func() { a.target.noted(func() { a.fail(errNoAnswer) }) })
	a.quiet = a.lane.Notify(0, func(*mux.Batch) { a.fail(errCallerGone) })
	a.mu.Unlock()
	a.offer.Notify(0, a.answered)
}

// answered looks at what has come from the callee.
func (a *attempt) answered(by *mux.Batch) {
	defer a.target.shield()
	size, waits, ended := whole(a.offer)
	if size == 0 && !ended {
		if waits > control.MaxServerBody {
			a.fail(control.PeerGone.With("the callee is gone"))
			return
		}
		a.offer.Notify(waits, a.answered)
		return
	}
	p, err := muxrpc.ReadPacket(a.offer, control.MaxServerBody)
	switch {
	case err != nil:
		a.fail(offerError(err))
	case p.Req != -1 || p.Flags&muxrpc.FlagEnd != 0:
		a.fail(refusal(p))
	case a.over.CompareAndSwap(false, true):
		a.accepted(p.Body, by)
	}
}

// accepted makes the channel, if the callee's yes is one to all that it was
// asked.
func (a *attempt) accepted(answer []byte, by *mux.Batch) {
	silent := a.disarm()
	links, err := a.wish.granted(answer)
	if err == nil {
		err = a.link.bind(a.offer, a.target, a.target)
	}
	a.s.srv.unreserve(a.target, a.s.key)
	if !silent { // the caller broke the silence, or is gone
		err = errCallerGone
	}
	if err == nil {
		by.Gather(a.s.mux)
		err = reply(a.lane, a.req, a.link.result(&a.wish, a.epoch, links))
		if err == nil {
			a.link.relay()
			return
		}
		err = errCallerGone
	}
	a.s.spawn(func() { a.giveUp(err) })
}

// fail ends the attempt, unless that is decided. It may be called from anywhere.
func (a *attempt) fail(err error) {
	if !a.over.CompareAndSwap(false, true) {
		return
	}
	a.s.spawn(func() {
		if !a.disarm() {
			err = errCallerGone
		}
		a.s.srv.unreserve(a.target, a.s.key)
		a.giveUp(err)
	})
}

// disarm takes back what begin has armed, and reports whether the caller has
// kept silent.
func (a *attempt) disarm() (silent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
	return a.quiet == nil || a.quiet()
}

// giveUp refuses the caller, whose channel has come to nothing.
func (a *attempt) giveUp(err error) {
	defer a.link.over()
	if errors.Is(err, control.Refused) {
		a.offer.Close()
	} else {
		a.offer.Abort()
	}
	if err == errCallerGone {
		a.link.end(reasonGone, a.s, err)
		a.lane.Abort()
		return
	}
	a.s.log.Debug("connect refused", "to", a.link.name, "channel", a.link.id.String(), "err", err)
	a.s.failedOpen(a.link.name, err)
	refuse(a.lane, a.req, err)
}
