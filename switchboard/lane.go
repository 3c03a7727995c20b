package switchboard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// serveLane reads a lane's first packet, which decides what the lane is: a
// channel, or a control lane (PROTOCOL.md §3). A lane that is the whole
// connection is single. An error ends the session; what concerns only a yamux
// lane ends that lane and is nil.
func (s *session) serveLane(lane channel.Lane, single bool) error {
	stop := func() bool { return true } // a yamux lane ends with its session
	if single {
		stop = s.whenOver(s.ctx, func() { lane.Abort() })
		defer stop()
	}
	p, err := firstPacket(lane)
	if err != nil {
		lane.Abort()
		if single || errors.Is(err, muxrpc.ErrTooLarge) {
			return err
		}
		return nil
	}
	return s.serveFirst(lane, p, single, stop)
}

// serveFirst serves a lane whose first packet is p. stop ends the watch over
// the session's end, and reports whether that has not come.
func (s *session) serveFirst(lane channel.Lane, p muxrpc.Packet, single bool, stop func() bool) error {
	if req, err := muxrpc.ParseRequest(p); err == nil && p.Flags&muxrpc.FlagStream != 0 {
		switch req.Name {
		case control.MethodConnect:
			s.serveConnect(lane, p.Req, req.Args)
			return nil
		case control.MethodAccept:
			s.serveAccept(lane, p.Req, req.Args)
			return nil
		}
	}
	if !stop() {
		return context.Cause(s.ctx)
	}
	rpc := s.newControl(lane, &p, single)
	if !single {
		return (&controlLane{s, lane.(*mux.Stream), rpc}).serve()
	}
	defer s.whenOver(s.ctx, func() { rpc.Close() })()
	return s.serveControl(rpc)
}

// firstPacket waits for the first packet of a lane, complete within 10 s.
func firstPacket(lane channel.Lane) (muxrpc.Packet, error) {
	if err := lane.SetReadDeadline(time.Now().Add(firstPacketTimeout)); err != nil {
		return muxrpc.Packet{}, err
	}
	p, err := muxrpc.ReadPacket(lane, control.MaxServerBody)
	if err != nil {
		return muxrpc.Packet{}, late(err, "whole first packet", firstPacketTimeout)
	}
	return p, lane.SetReadDeadline(time.Time{})
}

// late says of a deadline what was waited for in vain; other errors stay as they are.
func late(err error, what string, d time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no %s in %v: %w", what, d, err)
	}
	return err
}

// newControl makes the muxrpc session of a control lane, and enters it into the
// books.
func (s *session) newControl(lane channel.Lane, first *muxrpc.Packet, single bool) *muxrpc.Session {
	rpc := muxrpc.NewSession(lane, muxrpc.Config{
		Handler:      shieldedHandler{&handler{sess: s}},
		MaxBody:      control.MaxServerBody,
		Limit:        s.calls,
		Exempt:       []string{control.MethodManifest},
		First:        first,
		WriteTimeout: s.srv.limits.WriteTimeout,
		Manual:       true,
		Panicked:     s.panicked,
	})
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	s.rpcs[rpc] = struct{}{}
	if single {
		s.control = rpc
	}
	return rpc
}

// serveControl answers the calls of a control lane until it ends. A lane that
// ends in order, or is reset, is the peer's choice; a broken packet or a peer
// that takes nothing ends the session.
func (s *session) serveControl(rpc *muxrpc.Session) error {
	err := rpc.Serve() // the first call may make the session callable: only now
	s.srv.mu.Lock()
	delete(s.rpcs, rpc)
	s.srv.mu.Unlock()
	if !cleanEnd(err) && !errors.Is(err, mux.ErrReset) {
		return err
	}
	return nil
}

// controlLane is a control lane on yamux. It has no goroutine while nothing is
// to be done; what comes whole and small is answered on the session's reader.
type controlLane struct {
	s    *session
	lane *mux.Stream
	rpc  *muxrpc.Session
}

// arrived answers what has come.
func (c *controlLane) arrived(by *mux.Batch) {
	defer c.s.shield()
	by.Gather(c.s.mux)
	if over := c.rpc.Step(c.quick); over {
		c.s.goLane(c.lane, func() error { return c.s.serveControl(c.rpc) })
	} else if n, more := c.look(); more {
		c.s.goLane(c.lane, c.serve)
	} else {
		c.lane.Notify(n, c.arrived)
	}
}

// serve answers what has come, and may wait.
func (c *controlLane) serve() error {
	var n int
	over := c.rpc.Step(func() (more bool) { n, more = c.look(); return more })
	if over {
		return c.s.serveControl(c.rpc)
	}
	c.lane.Notify(n, c.arrived)
	return nil
}

// quick reports whether a packet has come that can be answered at once.
func (c *controlLane) quick() bool {
	size, _, _ := whole(c.lane)
	return size > 0 && size <= quickPacket && c.rpc.Quiet()
}

// packetHeader is the size of a packet's header: flags, length, request u32be.
const packetHeader = 9

// look returns how many bytes wait, and whether that is something to handle: a
// packet, the end, or a header that claims too much. Else more bytes have to
// come.
func (c *controlLane) look() (n int, more bool) {
	var head [muxrpc.WholeHead]byte // flags u8, length u32be
	n, ended := c.lane.Peek(head[:])
	return n, ended || muxrpc.Whole(head[:], n) > 0 ||
		n >= packetHeader && binary.BigEndian.Uint32(head[1:]) > control.MaxServerBody
}

// reply answers the opener of a lane; the lane is raw from there.
func reply(lane channel.Lane, req int32, v control.Body) error {
	return writeAnswer(lane, muxrpc.FlagStream|muxrpc.FlagJSON, req, v)
}

// refuse answers the opener of a lane with an error, and ends the lane once
// the opener has ended it too; what still comes until then is dropped.
func refuse(lane channel.Lane, req int32, err error) {
	werr := writeAnswer(lane, muxrpc.FlagStream|muxrpc.FlagEnd|muxrpc.FlagJSON, req, control.ToWire(err))
	if werr == nil {
		werr = lane.CloseWrite()
	}
	if werr != nil {
		lane.Abort()
		return
	}
	linger(lane)
}

func writeAnswer(lane channel.Lane, flags byte, req int32, v control.Body) error {
	if err := lane.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	d := muxrpc.NewDraft()
	d.B = v.AppendJSON(d.B)
	if err := d.Send(lane, flags, -req); err != nil {
		return err
	}
	return lane.SetWriteDeadline(time.Time{})
}

// linger takes what an opener still sends on a lane that we have ended, so
// that our last words are not lost to a reset.
func linger(lane channel.Lane) {
	if err := lane.SetReadDeadline(time.Now().Add(lingerTimeout)); err == nil {
		// Whatever ends the copy ends the lane.
		_, _ = io.CopyN(io.Discard, lane, control.MaxServerBody)
	}
	lane.Close()
}
