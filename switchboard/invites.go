package switchboard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// How long an invite is good (PROTOCOL.md §14).
const (
	defaultInvite = 24 * time.Hour
	minInvite     = time.Second
	maxInvite     = 7 * 24 * time.Hour
)

// invitesNew serves invites.new. The server keeps the public half of what it gives
// out, and nothing else.
func (s *session) invitesNew(ctx context.Context, a control.InviteArgs) (control.InviteMade, error) {
	if err := s.administers(control.MethodInvitesNew); err != nil {
		return control.InviteMade{}, err
	}
	f, err := s.srv.filesOf()
	if err != nil {
		return control.InviteMade{}, err
	}
	ttl := defaultInvite
	if a.TTLMS != nil {
		ttl = time.Duration(*a.TTLMS) * time.Millisecond
		if *a.TTLMS > maxInvite.Milliseconds() || *a.TTLMS < minInvite.Milliseconds() {
			return control.InviteMade{}, control.BadRequest.With("ttl_ms is a second to 7 days")
		}
	}
	addresses := a.Addresses
	if addresses == "" {
		addresses = s.srv.cfg.Peers.Addresses
	}
	if err := s.srv.ourAddresses(addresses); err != nil {
		return control.InviteMade{}, err
	}
	now := time.Now()
	expires := now.Add(ttl).Truncate(time.Second)
	if !expires.After(now) {
		expires = expires.Add(time.Second)
	}
	invite := control.NewInvite(addresses)
	if s.srv.cfg.NetworkKey != shs.DefaultNetworkKey() {
		invite.NetworkKey = s.srv.cfg.NetworkKey
	}
	var options []policy.Option
	for _, o := range []policy.Option{{Name: "own", Value: a.Own}, {Name: "see", Value: a.See}, {Name: "talk", Value: a.Talk}, {Name: "level", Value: a.Level},
		{Name: "tenant", Value: a.Tenant}, {Name: "expires", Value: policy.FormatExpires(expires.UnixMilli())}} {
		if o.Value != "" {
			options = append(options, o)
		}
	}
	key := invite.Key().Public()
	texts := make([]string, len(options))
	for i, o := range options {
		texts[i] = o.String()
	}
	if err := s.mayChange(control.MethodInvitesNew, key, a.Comment, texts...); err != nil {
		return control.InviteMade{}, err
	}
	err = f.AddInvite(ctx, now, s.srv.limits.Invites, policy.Key(key), a.Comment, options...)
	if errors.Is(err, peersfile.ErrInvites) {
		s.srv.over.count(overInvites)
	}
	if err != nil {
		return control.InviteMade{}, peersError(err)
	}
	return control.InviteMade{Code: invite.Code(), Key: key, Expires: expires.UnixMilli()}, nil
}

// ourAddresses checks what an invite says of where the server is.
func (s *Server) ourAddresses(text string) error {
	all, err := shs.ParseAddresses(text)
	if err != nil || len(text) > control.MaxInviteAddresses {
		return control.BadRequest.With(fmt.Sprintf("addresses: %v; give at most %d bytes as in net:HOST:PORT~shs:KEY", err, control.MaxInviteAddresses))
	}
	for _, a := range all {
		if a.Key != s.key {
			return control.BadRequest.With("addresses: one of them is of another server key")
		}
	}
	return nil
}

func (s *session) invitesList(context.Context, control.NoArgs) (control.Invites, error) {
	if err := s.administers(control.MethodInvitesList); err != nil {
		return control.Invites{}, err
	}
	f, err := s.srv.filesOf()
	if err != nil {
		return control.Invites{}, err
	}
	all, err := f.ReadInvites(time.Now())
	if err != nil {
		return control.Invites{}, peersError(err)
	}
	list := control.Invites{Invites: []control.PeerInfo{}}
	for _, p := range all {
		list.Invites = append(list.Invites, peerInfo(p))
	}
	return list, nil
}

func (s *session) invitesRemove(ctx context.Context, a control.PeerArgs) (bool, error) {
	if err := s.mayChange(control.MethodInvitesRemove, a.Key, ""); err != nil {
		return false, err
	}
	f, err := s.srv.filesOf()
	if err != nil {
		return false, err
	}
	if err := f.RemoveInvite(ctx, time.Now(), policy.Key(a.Key)); err != nil {
		return false, peersError(err)
	}
	return true, nil
}
