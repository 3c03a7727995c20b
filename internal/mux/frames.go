package mux

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
)

// frameLocked handles a header.
func (s *Session) frameLocked(h header) error {
	switch h.typ {
	case typePing:
		return s.pingLocked(h)
	case typeGoAway:
		return s.goAwayLocked(h)
	}
	st, err := s.findLocked(h)
	if err != nil {
		return err
	}
	if h.typ == typeData {
		if err := s.beginDataLocked(st, h); err != nil {
			return err
		}
	}
	if err := s.countLocked(st, h); err != nil || st == nil {
		return err
	}
	st.answeredLocked()
	if h.has(flagRST) { // the length of a reset is a reason, never a window
		reason := ReasonNone
		if h.typ == typeWindow {
			reason = Reason(h.length)
		}
		st.resetLocked(reason)
		return nil
	}
	if h.typ == typeWindow && h.length > 0 {
		if err := s.windowLocked(st, h.length); err != nil {
			return err
		}
	}
	if h.has(flagFIN) && s.in.body == 0 {
		s.finishLocked(st)
	}
	return nil
}

// countLocked counts the frame against the Rates.
func (s *Session) countLocked(st *Stream, h header) error {
	r, c, x := &s.cfg.Rates, &s.counts, s.cfg.Excess
	flood, met := "", (*atomic.Int64)(nil)
	if h.has(flagSYN) && c.opens.open(r.Early) {
		flood, met = "opens that are reset at once", &x.Early
	}
	switch {
	case h.has(flagRST):
		if h.has(flagSYN) || st != nil && st.waiting {
			c.opens.early++
		}
		if !c.resets.take(r.Resets, s.heard) {
			flood, met = "resets", &x.Resets
		}
	case h.has(flagSYN): // bounded by the backlog, and by Accept
	case h.typ == typeData && h.length > 0:
	case h.typ == typeData && h.flags == 0:
		if !c.empty.take(r.Empty, s.heard) {
			flood, met = "empty data frames", &x.Empty
		}
	case h.has(flagACK) && h.length == 0 && st != nil && st.unacked, h.has(flagFIN) && st != nil && !st.recvDone: // once a stream
	default:
		if !c.updates.take(r.Updates, s.heard) {
			flood, met = "window updates", &x.Updates
		}
	}
	if flood == "" {
		return nil
	}
	met.Add(1)
	return fmt.Errorf("%w: too many %s", ErrFlood, flood)
}

// windowLocked takes what the peer grants to st.
func (s *Session) windowLocked(st *Stream, n uint32) error {
	if st.sendWin+int64(n) > math.MaxUint32 {
		return fmt.Errorf("%w: window of stream %d wraps", ErrProtocol, st.id)
	}
	st.sendWin += int64(n)
	st.wcond.Broadcast()
	if st.pair == nil {
		return nil
	}
	if st.sendableLocked() > 0 {
		s.scheduleLocked(st)
	}
	s.mu.Unlock()
	st.other.passCredit(s, int64(n))
	s.mu.Lock()
	return nil
}

// findLocked returns the stream of a frame; nil for one that is forgotten or
// has just been refused.
func (s *Session) findLocked(h header) (*Stream, error) {
	st := s.streams[h.id]
	ours := (h.id%2 == 1) == s.client
	switch {
	case h.has(flagSYN) && ours:
		return nil, fmt.Errorf("%w: peer opened stream %d of our side", ErrProtocol, h.id)
	case h.has(flagSYN):
		if err := s.used.add(h.id); err != nil {
			if errors.Is(err, ErrFlood) {
				s.cfg.Excess.Gaps.Add(1)
			}
			return nil, err
		}
		return s.incomingLocked(h)
	case st != nil:
		return st, nil
	case ours && uint64(h.id) < s.nextID, !ours && s.used.has(h.id):
		return nil, nil
	}
	return nil, fmt.Errorf("%w: frame for stream %d, which was never opened", ErrProtocol, h.id)
}

// incomingLocked makes the stream that the peer opens, or queues its refusal.
func (s *Session) incomingLocked(h header) (*Stream, error) {
	if h.has(flagRST) {
		return nil, nil // opened and given up in one frame
	}
	away, full := s.awayDue || s.awaySent, len(s.streams) >= s.cfg.MaxStreams
	if away || full || len(s.backlog) >= s.cfg.Backlog {
		s.due = true
		x := s.cfg.Excess
		switch {
		case away: // no limit
		case full:
			x.Streams.Add(1)
		default:
			x.Backlog.Add(1)
		}
		err := s.resets.push(h.id)
		if err != nil {
			x.Unread.Add(1)
		}
		return nil, err
	}
	st := s.addLocked(h.id)
	st.waiting, s.theirs = true, h.id
	s.backlog = append(s.backlog, st)
	if s.cfg.Handle == nil {
		notify(s.arrived)
	} else {
		s.handleLocked(true)
	}
	return st, nil
}

// beginDataLocked checks the length of a data frame against what was granted.
func (s *Session) beginDataLocked(st *Stream, h header) error {
	limit := s.widest
	if st != nil {
		limit = st.recvWin
	}
	switch {
	case h.length > limit:
		return fmt.Errorf("%w: %d bytes for stream %d exceed its window", ErrProtocol, h.length, h.id)
	case st != nil && st.gotFIN && h.length > 0:
		return fmt.Errorf("%w: data after the end of stream %d", ErrProtocol, h.id)
	}
	if st != nil {
		st.recvWin -= h.length
		if st.credit > 0 {
			st.grantCreditLocked()
		}
	}
	s.in.body, s.in.to, s.in.fin = h.length, st, h.has(flagFIN)
	return nil
}

// pingLocked queues the answer to a ping. Answers that nobody asked for, or that
// come again, mean nothing, and count as pings.
func (s *Session) pingLocked(h header) error {
	if !h.has(flagSYN) && h.length > s.answered && h.length <= s.pings {
		s.answered = h.length
	} else if !s.counts.pings.take(s.cfg.Rates.Pings, s.heard) {
		s.cfg.Excess.Pings.Add(1)
		return fmt.Errorf("%w: too many pings", ErrFlood)
	}
	if !h.has(flagSYN) {
		return nil
	}
	if len(s.pongs) == maxPongs {
		s.cfg.Excess.Unread.Add(1)
		return fmt.Errorf("%w: %d pings wait for an answer", ErrFlood, maxPongs)
	}
	s.pongs = append(s.pongs, h.length)
	s.due = true
	return nil
}

func (s *Session) goAwayLocked(h header) error {
	if !s.peerAway {
		s.peerAway = true
		close(s.awayGot)
	}
	if h.length != goAwayNormal {
		return &GoAwayError{Code: h.length}
	}
	return nil
}
