package muxrpc

import (
	"math"
	"slices"
)

// dispatch handles one packet on the reading goroutine. Nothing in a packet's content ends the session: it is answered, or
// dropped and counted (the odd-packet table of PROTOCOL.md §4).
func (s *Session) dispatch(p Packet) {
	s.mu.Lock()
	deaf := s.peerGone || s.err != nil
	s.mu.Unlock()
	switch {
	case deaf:
		s.dropped.Add(1)
	case p.IsGoodbye():
		s.endPeer(true)
	case p.Req > 0:
		s.fromCaller(p)
	case p.Req < 0 && p.Req != math.MinInt32:
		s.fromCallee(p, -p.Req)
	default: // 0 is the one-way message of old; the least number is the negation of none
		s.dropped.Add(1)
	}
}

// fromCaller handles what the peer sends on a call or stream of its own.
func (s *Session) fromCaller(p Packet) {
	s.mu.Lock()
	c := s.served[p.Req]
	s.mu.Unlock()
	switch {
	case c != nil && c.stream != nil && (p.isStream() || p.isEnd()):
		c.stream.receive(p)
	case c != nil: // the number is in use: answering would answer the call that has it
		s.dropped.Add(1)
	case p.isEnd(): // acknowledges an END or error of ours, is a repeat, or nonsense: an answer could come back for ever
		s.dropped.Add(1)
	default:
		s.serve(p)
	}
}

// fromCallee handles what the peer answers on a call or stream of ours.
func (s *Session) fromCallee(p Packet, id int32) {
	s.mu.Lock()
	answer, isCall := s.calls[id]
	delete(s.calls, id)
	st := s.opened[id]
	s.mu.Unlock()
	switch {
	case isCall:
		answer <- p // has room for one, and there is never a second
	case st != nil && (p.isStream() || p.isEnd()):
		st.receive(p)
	default:
		s.dropped.Add(1)
	}
}

// serve begins a call or stream of the peer.
func (s *Session) serve(p Packet) {
	r, bad := parseRequest(p)
	if bad != nil {
		s.refuse(p, bad)
		return
	}
	c := &Call{s: s, id: p.Req, req: r}
	if r.Type != typeAsync {
		c.stream = newStream(s, -p.Req, r.Type, c)
	}
	if err := s.admit(c); err != nil {
		s.refuse(p, err)
		return
	}
	s.cfg.Handler.ServeCall(c)
	if c.stream == nil {
		s.keep(c)
	}
}

// keep enters an async call in the books whose answer is still to come. Most are answered by now.
func (s *Session) keep(c *Call) {
	s.mu.Lock()
	open, dead := !c.over, s.err != nil
	if open && !dead {
		put(&s.served, c.id, c)
	}
	s.mu.Unlock()
	if open && dead { // it ended without knowing c
		c.forget()
	}
}

// admit counts c in, and enters a stream in the books, or says why not.
func (s *Session) admit(c *Call) *RemoteError {
	if !slices.Contains(s.cfg.Exempt, c.req.Name) {
		if !s.cfg.Limit.acquire() {
			return &RemoteError{Name: codeBusy, Message: "too many calls in flight"}
		}
		c.charged = true
	}
	s.mu.Lock()
	if !s.leaving && s.err == nil {
		if c.stream != nil {
			put(&s.served, c.id, c)
		}
		s.open++
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	if c.charged {
		s.cfg.Limit.release()
	}
	return &RemoteError{Name: codeShuttingDown, Message: "session is ending"}
}

// refuse answers a request in the session's own name.
func (s *Session) refuse(p Packet, err *RemoteError) {
	s.refused.Add(1)
	flags := FlagJSON | FlagEnd | p.Flags&FlagStream
	if ok, _ := s.send(Packet{Flags: flags, Req: -p.Req, Body: encodeError(err)}, nil); !ok {
		s.dropped.Add(1) // our goodbye is out, or the session is dead
	}
}
