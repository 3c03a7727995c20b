package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
)

// ErrPeer is returned by Seal when the other end has another key than expected:
// at the callee the one that it has proven, at the caller the one that it could
// not prove.
var ErrPeer = errors.New("channel: the other end has another key than expected")

var (
	errNoPeer = errors.New("channel: SealConfig.Peer is not set")
	errTo     = errors.New("channel: SealConfig.To is longer than 65,535 bytes")
)

// maxTo is the longest SealConfig.To in bytes: a purpose key takes no more.
const maxTo = 1<<16 - 1

// SealConfig is what one end brings to the handshake inside a channel. Both
// ends must have the same Network, Channel and To.
type SealConfig struct {
	Caller  bool           // this end opened the channel
	Key     shs.PrivateKey // our own
	Network shs.NetworkKey // zero: shs.DefaultNetworkKey
	Channel ID
	To      string        // the name or session as the caller wrote it
	Peer    shs.PublicKey // the other end's; required
}

// Seal runs SHS inside a channel, the caller as its client, under the purpose
// key of channel and name, and returns the lane inside: a box stream, which
// whoever carries the channel can neither read nor change.
// Bytes of the channel must not have been read or written before.
//
// Seal owns lane. It takes until ctx ends, or 5 s if ctx has no deadline. After
// an error lane has been aborted. ErrPeer: the other end has another key, which
// the caller also concludes when the other end answers the caller's proof with
// a reset or an end; over a lane that is a connection of its own such a reset
// looks like any cut, and is io.ErrUnexpectedEOF only. shs.ErrHello: the other
// end does not seal, or another channel, name or network. Other errors are
// those of ctx, of shs and of lane.
//
// A direction ends with the box stream's goodbye and, behind it, the half-close
// of lane: Read returns io.EOF after both, shs.ErrProtocol for bytes that were
// changed, or that come between, and io.ErrUnexpectedEOF, with the error of lane
// if it has one, if lane ends otherwise. Close says goodbye for at most 1 s and
// ends lane in order; what cannot be sent in that time makes it an abort. Abort
// aborts lane.
func Seal(ctx context.Context, lane Lane, cfg SealConfig) (Lane, error) {
	s := &sealed{outer: &outer{Lane: lane}, ending: make(chan struct{}, 1)}
	inner, err := cfg.inner()
	if err != nil {
		lane.Abort()
		return nil, fmt.Errorf("sealing: %w", err)
	}
	if cfg.Caller {
		s.inner = shs.Client(s.outer, inner)
	} else {
		s.inner = shs.Server(s.outer, inner)
	}
	if err := s.inner.Handshake(ctx); err != nil {
		lane.Abort() // shs has, unless it did not begin
		if cfg.Caller && ctx.Err() == nil && (errors.Is(err, shs.ErrProof) || s.outer.disowned()) {
			return nil, fmt.Errorf("sealing: %w: %w", ErrPeer, err)
		}
		return nil, fmt.Errorf("sealing: %w", err)
	}
	s.outer.orderly.Store(true)
	return s, nil
}

// inner is what SHS needs to know.
func (cfg *SealConfig) inner() (*shs.Config, error) {
	switch {
	case cfg.Peer.IsZero():
		return nil, errNoPeer
	case len(cfg.To) > maxTo:
		return nil, errTo
	}
	network := cfg.Network
	if network.IsZero() {
		network = shs.DefaultNetworkKey()
	}
	peer := cfg.Peer
	return &shs.Config{
		Key:        cfg.Key,
		NetworkKey: network.Sealed(cfg.Channel, cfg.To),
		ServerKey:  peer, // at the caller
		Authorize: func(key shs.PublicKey, _ shs.Mode) error { // at the callee
			if key != peer {
				return fmt.Errorf("%w: %v, expected %v", ErrPeer, key, peer)
			}
			return nil
		},
	}, nil
}

// sealed is a lane inside a channel.
type sealed struct {
	inner *shs.Conn
	outer *outer

	closed atomic.Bool // by Close or Abort

	ending chan struct{} // 1 slot: who has it owns end
	end    error         // how outer ended behind the goodbye; nil: not known
}

// Link returns the kind of link that the lane below is on.
func (s *sealed) Link() Kind { return linkOf(s.outer.Lane) }

// Read returns io.EOF when both streams have ended.
func (s *sealed) Read(p []byte) (int, error) {
	n, err := s.inner.Read(p)
	if err == io.EOF {
		err = s.readEnd()
	}
	return n, err
}

// readEnd reads the end of the channel, which comes behind the goodbye. So what
// carries the channel knows that it was read to its end.
func (s *sealed) readEnd() error {
	s.ending <- struct{}{}
	defer func() { <-s.ending }()
	if s.end != nil {
		return s.end
	}
	n, err := s.outer.Lane.Read(make([]byte, 1))
	switch {
	case n > 0:
		s.end = fmt.Errorf("%w: bytes after the goodbye", shs.ErrProtocol)
	case s.closed.Load():
		return net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case err == io.EOF:
		s.end = io.EOF
	case err == nil:
		return io.ErrNoProgress
	default:
		s.end = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return s.end
}

// Write writes boxes.
func (s *sealed) Write(p []byte) (int, error) { return s.inner.Write(p) }

// CloseWrite sends the goodbye, and ends our direction of the channel. If it
// meets its deadline, it may be called again.
func (s *sealed) CloseWrite() error {
	if err := s.inner.CloseWrite(); err != nil {
		return err
	}
	return s.outer.Lane.CloseWrite()
}

// Close ends both directions in order.
func (s *sealed) Close() error {
	s.closed.Store(true)
	return s.inner.Close()
}

// Abort resets the channel.
func (s *sealed) Abort() error {
	s.closed.Store(true)
	s.outer.orderly.Store(false)
	return s.inner.Abort()
}

// LocalAddr returns that of the channel.
func (s *sealed) LocalAddr() net.Addr { return s.outer.LocalAddr() }

// RemoteAddr returns that of the channel.
func (s *sealed) RemoteAddr() net.Addr { return s.outer.RemoteAddr() }

// SetDeadline implements net.Conn.
func (s *sealed) SetDeadline(t time.Time) error { return s.inner.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (s *sealed) SetReadDeadline(t time.Time) error { return s.inner.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (s *sealed) SetWriteDeadline(t time.Time) error { return s.inner.SetWriteDeadline(t) }

// outer is the lane as SHS sees it, which ends a connection by Close alone. The
// lane is closed in order if everything that SHS has begun to send is out, the
// goodbye is the last of it, and aborted otherwise.
type outer struct {
	Lane
	orderly atomic.Bool // after the handshake, until Abort
	owed    atomic.Bool // a part of the last write is not sent

	// Of the handshake, which is one goroutine, and after it of Seal.
	got int   // bytes read
	err error // of the last Read
}

// helloSize is the size of an SHS hello in bytes. The caller reads on behind
// the one of the other end only if it was good and the caller's proof is sent.
const helloSize = 64

// disowned says whether the other end answered the caller's proof by ending the
// channel.
func (o *outer) disowned() bool {
	if o.got < helloSize {
		return false
	}
	if reset, ok := errors.AsType[*mux.ResetError](o.err); ok {
		return reset.Reason == mux.ReasonNone || reset.Reason == mux.ReasonReset
	}
	return o.err == io.EOF
}

// Read implements net.Conn.
func (o *outer) Read(p []byte) (int, error) {
	n, err := o.Lane.Read(p)
	if !o.orderly.Load() {
		o.got, o.err = o.got+n, err
	}
	return n, err
}

// Write implements net.Conn.
func (o *outer) Write(p []byte) (int, error) {
	o.owed.Store(true)
	n, err := o.Lane.Write(p)
	if n == len(p) {
		o.owed.Store(false)
	}
	return n, err
}

// Close ends the lane.
func (o *outer) Close() error {
	if !o.orderly.Load() || o.owed.Load() {
		return o.Lane.Abort()
	}
	return o.Lane.Close()
}
