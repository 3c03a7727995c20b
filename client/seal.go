package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
)

// seal runs the caller's handshake inside the channel, with whom the caller
// expects, or else with whom the server says.
func (e *end) seal(ctx context.Context, res *control.ConnectResult, whom expected) (channel.Lane, error) {
	if !res.Sealed {
		return nil, control.Unavailable.With("the callee does not seal channels")
	}
	if err := whom.check(e.peer); err != nil {
		return nil, err
	}
	lane, err := e.sealAs(ctx, true)
	if err != nil {
		return nil, err
	}
	if err := whom.proven(ctx, e.peer); err != nil {
		return nil, err // the caller of seal aborts what is below
	}
	return lane, nil
}

// sealAs runs the handshake inside the channel as one of its ends, for at most
// 5 s.
func (e *end) sealAs(ctx context.Context, caller bool) (channel.Lane, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	cfg := &e.s.c.cfg
	lane, err := channel.Seal(ctx, e, channel.SealConfig{
		Caller: caller, Key: cfg.Key, Network: cfg.NetworkKey, Channel: e.id, To: e.name, Peer: e.peer,
	})
	if err == nil || !errors.Is(err, channel.ErrPeer) {
		return lane, err
	}
	if ended, ok := errors.AsType[*ended](err); ok && ended.reason.Code != PeerMismatch && ended.reason.Code != reasonReset {
		return nil, err // that is why, and not the key
	}
	return nil, fmt.Errorf("%w: %w", PeerMismatch.With("the other end of the channel does not hold the key it should"), err)
}

// reasonReset is what the server says of a channel that its other end has reset.
const reasonReset control.Code = "peer_reset"
