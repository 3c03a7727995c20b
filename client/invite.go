package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// ErrInvite says that a text is no code of an invite, or not all of one.
var ErrInvite = control.ErrInvite

// ErrInviteRefused says that the server does not know the invite: it was redeemed,
// has expired or was taken back.
var ErrInviteRefused = errors.New("client: the server does not know the invite: it was used, has expired, or was taken back")

// Invite is where a code leads: what a Config needs to log in there.
type Invite struct {
	Address    string
	NetworkKey shs.NetworkKey
}

// ParseInvite reads a code, which an administrator has made (PROTOCOL.md §14).
func ParseInvite(code string) (Invite, error) {
	i, err := control.ParseInvite(code)
	return Invite{Address: i.Addresses, NetworkKey: i.NetworkKey}, err
}

// Redeem enters cfg.Key at the server of a code, with the rights that go with it.
// The code is good once. Of cfg, Key and Dial count. A connection that breaks may
// leave it open whether the key was entered: then a login tells, and so does
// ErrInviteRefused the next time.
func Redeem(ctx context.Context, code string, cfg Config) (Invite, error) {
	invite, err := control.ParseInvite(code)
	if err != nil {
		return Invite{}, err
	}
	if cfg.Key.IsZero() {
		return Invite{}, errNoKey
	}
	where := Invite{Address: invite.Addresses, NetworkKey: invite.NetworkKey}
	once := Config{Key: invite.Key(), NetworkKey: network(invite.NetworkKey).Invite(), Mode: ModeBox, Dial: cfg.Dial}
	once.Prepared = shs.Prepare(once.Key)
	addrs, err := once.Prepared.ParseAddresses(invite.Addresses)
	if err != nil {
		return where, err
	}
	conn, at, err := login(ctx, &once, addrs)
	if errors.Is(err, shs.ErrRefused) {
		return where, ErrInviteRefused // what the login says of lists is not about invites
	}
	if err != nil {
		return where, err
	}
	defer conn.Close()
	s := muxrpc.NewSession(conn, muxrpc.Config{MaxBody: control.MaxPeerBody})
	defer s.Close()
	args := control.RedeemArgs{
		Key:       cfg.Key.Public(),
		Signature: cfg.Key.Sign(control.RedeemLabel, control.RedeemStatement(at.addr.Key, once.Key.Public())...),
	}
	var done bool
	if err := s.Call(ctx, control.MethodInviteRedeem, muxrpc.Args{&args}, &done); err != nil {
		return where, control.FromWire(err)
	}
	return where, nil
}

// network is a network key, or the default one.
func network(key shs.NetworkKey) shs.NetworkKey {
	if key.IsZero() {
		return shs.DefaultNetworkKey()
	}
	return key
}

// Rotate puts another key in the place of the Client's own at the server, with the
// same rights. Both are good until the time that it returns, overlap from now on;
// zero is a day. A session of the new key may replace the old one's names. Done
// twice with the same key it is done once. It needs a line in authorized_peers.
func (c *Client) Rotate(ctx context.Context, next shs.PrivateKey, overlap time.Duration) (time.Time, error) {
	me, err := c.WhoAmI(ctx)
	if err != nil {
		return time.Time{}, err
	}
	fields := control.RotateStatement(me.Server.ID, c.cfg.Key.Public(), next.Public())
	args := control.RotateArgs{
		Key:   next.Public(),
		By:    c.cfg.Key.Sign(control.RotateLabel, fields...),
		Proof: next.Sign(control.RotateLabel, fields...),
	}
	if overlap != 0 {
		ms := overlap.Milliseconds()
		args.OverlapMS = &ms
	}
	var res control.RotateResult
	if err := c.retry(ctx, control.MethodPeersRotate, &args, &res); err != nil {
		return time.Time{}, fmt.Errorf("rotating the key: %w", err)
	}
	return time.UnixMilli(res.Expires), nil
}
