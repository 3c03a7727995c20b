package switchboard

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// redeemTimeout is how long a connection of an invite may take behind its handshake.
const redeemTimeout = 10 * time.Second

// invited decides on the proven key of an invite.
func (s *Server) invited(key shs.PublicKey) error {
	invites, err := s.peersFiles().ReadInvites(time.Now())
	if err != nil {
		s.log.Error("the invites cannot be read", "err", err)
		return err
	}
	for _, p := range invites {
		if p.Key == policy.Key(key) {
			return nil
		}
	}
	return peersfile.ErrNoInvite
}

// finishInvites does the rest of redemptions that the end of an earlier server has
// cut off.
func (s *Server) finishInvites(ctx context.Context) {
	if s.cfg.Peers == nil {
		return
	}
	done, err := s.peersFiles().Finish(ctx, time.Now())
	if err == nil && done > 0 {
		err = s.reread()
	}
	if err != nil {
		s.log.Error("an invite that was being redeemed stays as it is", "err", err)
	}
}

// serveInvite serves a connection under the key of an invite: one call, which is
// invite.redeem, and its answer.
func (s *Server) serveInvite(life context.Context, conn *shs.Conn, v *visit) {
	defer func() {
		if broken := recover(); broken != nil {
			conn.Abort()
			s.failed(broken, v.source, s.log)
		}
	}()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(life, redeemTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Abort() })()
	p, err := firstPacket(conn)
	if err != nil {
		s.log.Info("invite not redeemed", "invite", conn.RemoteKey(), "err", err)
		return
	}
	key, err := s.redeemCall(ctx, conn.RemoteKey(), p, v.source)
	attrs := []any{"invite", conn.RemoteKey(), "source", v.source.String()}
	if err != nil {
		s.log.Warn("invite not redeemed", append(attrs, "err", err)...)
		err = writeAnswer(conn, muxrpc.FlagJSON|muxrpc.FlagEnd, p.Req, control.ToWire(err))
	} else {
		s.log.Info("invite redeemed", append(attrs, "peer", key)...)
		err = writeAnswer(conn, muxrpc.FlagJSON, p.Req, control.Yes{})
	}
	if err == nil && conn.CloseWrite() == nil {
		linger(conn)
	}
}

// redeemCall reads and does the one call that an invite may make.
func (s *Server) redeemCall(ctx context.Context, invite shs.PublicKey, p muxrpc.Packet, from source) (key shs.PublicKey, err error) {
	req, err := muxrpc.ParseRequest(p)
	if err != nil {
		return key, control.BadRequest.With("not a request")
	}
	if req.Name != control.MethodInviteRedeem || p.Flags&muxrpc.FlagStream != 0 {
		return key, control.NotAllowed.With("an invite may call invite.redeem, and nothing else")
	}
	var a control.RedeemArgs
	if err := control.Decode(req.Args, &a); err != nil {
		return key, err
	}
	if ok, retry := s.turns.take(time.Now(), from, s.limits.RedeemRate); !ok {
		s.over.count(overRedeems)
		return key, tooOften("too many invites redeemed from here", retry)
	}
	if err := checkKey(a.Key); err != nil {
		return key, err
	}
	switch {
	case !a.Key.Verify(control.RedeemLabel, a.Signature, control.RedeemStatement(s.key, invite)...):
		return key, control.BadRequest.With("the signature is not of this key, for this invite")
	case a.Key == invite || a.Key == s.key:
		return key, control.BadRequest.With("the key must be one of your own")
	}
	s.note(audit.Event{Event: control.MethodInviteRedeem, Actor: invite.String(), Peer: a.Key.String(), Source: from.String()})
	return a.Key, s.redeem(ctx, invite, a.Key)
}

// redeem enters the key. What is written is in force before the answer.
func (s *Server) redeem(ctx context.Context, invite, key shs.PublicKey) error {
	err := s.peersFiles().Redeem(ctx, time.Now(), policy.Key(invite), policy.Key(key))
	if errors.Is(err, policy.ErrPeer) {
		return control.BadRequest.With("the key is listed already; the invite is still good for another")
	}
	if err != nil {
		if wire := new(control.Error); !errors.As(peersError(err), &wire) || wire.Code != control.Unavailable {
			return peersError(err)
		}
		s.log.Error("an invite cannot be redeemed", "err", err) // its paths are not for strangers
		return control.Unavailable.With("the server cannot enter the key now; its log says why")
	}
	if err := s.reload(ctx); err != nil {
		return control.Unavailable.With("the key is entered, and the server's configuration is not in order: ask its administrator")
	}
	return nil
}

// Redeems of one source (PROTOCOL.md §14).
const (
	redeemsPerMinute = 5 // unless set
	maxRedeemers     = 1024
)

// redeems is how often invites were redeemed from where. Of more than maxRedeemers
// sources that redeem at once, further ones wait.
type redeems struct {
	mu sync.Mutex
	of map[source]*policy.Bucket
}

func (r *redeems) take(now time.Time, from source, perMinute int) (ok bool, retry time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.of[from]
	if b == nil {
		if len(r.of) >= maxRedeemers {
			r.sweepLocked(now, perMinute)
		}
		if len(r.of) >= maxRedeemers {
			return false, time.Minute
		}
		if r.of == nil {
			r.of = make(map[source]*policy.Bucket)
		}
		made := policy.Rate{N: perMinute, Seconds: 60}.Bucket()
		b = &made
		r.of[from] = b
	}
	return b.Take(now, 1)
}

// sweepLocked forgets sources that have redeemed nothing for long.
func (r *redeems) sweepLocked(now time.Time, perMinute int) {
	for from, b := range r.of {
		full := *b
		if ok, _ := full.Take(now, perMinute); ok {
			delete(r.of, from)
		}
	}
}
