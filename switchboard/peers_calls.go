package switchboard

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"strings"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// enrolment are the calls about who may come (PROTOCOL.md §14).
var enrolment = map[string]method{
	control.MethodPeersList:     onDisk((*session).peersList),
	control.MethodPeersShow:     onDisk((*session).peersShow),
	control.MethodPeersAdd:      onDisk(peersEdit(control.MethodPeersAdd, policy.Add)),
	control.MethodPeersSet:      onDisk(peersEdit(control.MethodPeersSet, policy.Set)),
	control.MethodPeersRemove:   onDisk(peersEdit(control.MethodPeersRemove, policy.Remove)),
	control.MethodPeersRevoke:   onDisk((*session).peersRevoke),
	control.MethodPeersRotate:   onDisk((*session).peersRotate),
	control.MethodPolicyExplain: onDisk((*session).explain),
	control.MethodInvitesNew:    onDisk((*session).invitesNew),
	control.MethodInvitesList:   onDisk((*session).invitesList),
	control.MethodInvitesRemove: onDisk((*session).invitesRemove),
	control.MethodInviteRedeem:  onDisk((*session).noRedeem),
}

// withEnrolment adds these calls to others.
func withEnrolment(all map[string]method) map[string]method {
	maps.Copy(all, enrolment)
	return all
}

// onDisk makes a method of a function that may wait for a disk: it has a goroutine of
// its own.
func onDisk[A, R any, P interface {
	*A
	control.Args
}](f func(*session, context.Context, A) (R, error)) method {
	return method{kind: "async", serve: func(s *session, c *muxrpc.Call) {
		var args A
		if err := control.Decode(c.Args(), P(&args)); err != nil {
			s.fail(c, err)
			return
		}
		c.Go(func() {
			defer s.shield()
			res, err := f(s, c.Context(), args)
			if err != nil {
				s.fail(c, err)
				return
			}
			s.told(c, c.ReplyJSON(control.AppendJSON(nil, &res)))
		})
	}}
}

// peersEdit serves peers.add, peers.set and peers.remove.
func peersEdit(name string, action policy.Action) func(*session, context.Context, control.PeerArgs) (bool, error) {
	return func(s *session, ctx context.Context, a control.PeerArgs) (bool, error) {
		if err := s.mayChange(name, a.Key, a.Comment, a.Options...); err != nil {
			return false, err
		}
		err := s.srv.editPeers(ctx, action, a)
		return err == nil, err
	}
}

// mayChange refuses a change by somebody who is no administrator, and writes one by
// an administrator down before it is made.
func (s *session) mayChange(name string, key shs.PublicKey, comment string, options ...string) error {
	if err := s.administers(name); err != nil {
		return err
	}
	e := audit.Event{Event: name, Peer: key.String(), Reason: tame(comment)}
	if len(options) > 0 {
		e.Attrs = map[string]string{"options": tame(strings.Join(options, " "))}
	}
	return s.commit(e)
}

func (s *session) peersRevoke(ctx context.Context, a control.PeerArgs) (bool, error) {
	if err := s.mayChange(control.MethodPeersRevoke, a.Key, a.Comment); err != nil {
		return false, err
	}
	err := s.srv.revoke(ctx, a)
	return err == nil, err
}

func (s *session) peersRotate(ctx context.Context, a control.RotateArgs) (control.RotateResult, error) {
	if err := s.commit(audit.Event{Event: control.MethodPeersRotate, Peer: a.Key.String()}); err != nil {
		return control.RotateResult{}, err
	}
	return s.srv.rotate(ctx, s.key, a)
}

// noRedeem refuses invite.redeem to who has logged in.
func (s *session) noRedeem(context.Context, control.RedeemArgs) (bool, error) {
	return false, control.NotAllowed.With("an invite is redeemed under its own key, on a connection for that alone")
}

// maxPeers is how many peers a page of the list has.
const maxPeers = 1000

func (s *session) peersList(_ context.Context, a control.PeersListArgs) (control.PeersList, error) {
	if err := s.administers(control.MethodPeersList); err != nil {
		return control.PeersList{}, err
	}
	f, err := s.srv.filesOf()
	if err != nil {
		return control.PeersList{}, err
	}
	peers, err := f.ReadPeers()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return control.PeersList{}, peersError(err)
	}
	revoked, err := f.ReadRevoked()
	if err != nil {
		return control.PeersList{}, peersError(err)
	}
	list := control.PeersList{Peers: []control.PeerInfo{}}
	for _, p := range peers {
		if p.Line <= a.After {
			continue
		}
		if list.More = len(list.Peers) == maxPeers; list.More {
			break
		}
		info := peerInfo(p)
		_, info.Revoked = revoked[p.Key]
		list.Peers = append(list.Peers, info)
	}
	return list, nil
}

// peersShow serves peers.show: the line of a key, and what the rules in force say.
func (s *session) peersShow(_ context.Context, a control.PeerArgs) (control.PeerShow, error) {
	if err := s.administers(control.MethodPeersShow); err != nil {
		return control.PeerShow{}, err
	}
	f, err := s.srv.filesOf()
	if err != nil {
		return control.PeerShow{}, err
	}
	if a.Key.IsZero() {
		return control.PeerShow{}, errNoKey
	}
	peers, err := f.ReadPeers()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return control.PeerShow{}, peersError(err)
	}
	revoked, err := f.ReadRevoked()
	if err != nil {
		return control.PeerShow{}, peersError(err)
	}
	show := control.PeerShow{PeerInfo: control.PeerInfo{Key: a.Key}}
	found := false
	for _, p := range peers {
		if p.Key == policy.Key(a.Key) {
			show.PeerInfo, found = peerInfo(p), true
		}
	}
	if show.RevokedFor, show.Revoked = revoked[policy.Key(a.Key)]; !found && !show.Revoked {
		return control.PeerShow{}, control.NotFound.With("the key has no line in authorized_peers")
	}
	g, err := s.srv.rules.Load().policy.Authenticate(policy.Key(a.Key), policy.Far)
	if err != nil {
		show.Rule = strings.TrimPrefix(err.Error(), "policy: ")
		return show, nil
	}
	show.Admitted, show.Level, show.Tenant, show.Rule = true, g.Level().String(), policy.TenantText(g.Tenant()), g.Rule().String()
	return show, nil
}

func peerInfo(p policy.Peer) control.PeerInfo {
	info := control.PeerInfo{Key: shs.PublicKey(p.Key), Options: []string{}, Comment: p.Comment, Line: p.Line}
	for _, o := range p.Options() {
		info.Options = append(info.Options, o.String())
	}
	return info
}

// explain serves policy.explain.
func (s *session) explain(_ context.Context, a control.ExplainArgs) (control.Explanation, error) {
	if err := s.administers(control.MethodPolicyExplain); err != nil {
		return control.Explanation{}, err
	}
	if a.Key.IsZero() {
		return control.Explanation{}, errNoKey
	}
	from := policy.Far
	switch a.From {
	case "", transportNet:
	case transportUnix:
		from = policy.Local
	default:
		return control.Explanation{}, control.BadRequest.With("from is net or unix")
	}
	verb, ok := map[string]policy.Verb{"see": policy.See, "talk": policy.Talk, "own": policy.Own, "admin": policy.Admin}[a.Verb]
	if !ok {
		return control.Explanation{}, control.BadRequest.With("verb is see, talk, own or admin")
	}
	rules := s.srv.rules.Load()
	g, err := rules.policy.Authenticate(policy.Key(a.Key), from)
	if err != nil {
		rule := policy.Refusal(err, from)
		return control.Explanation{Rule: rule.String(), Because: rules.policy.Because(nil, verb, rule)}, nil
	}
	var o policy.Object
	if verb != policy.Admin {
		if o, err = readName(g.Tenant(), a.Name); err != nil {
			return control.Explanation{}, err
		}
		s.srv.mu.Lock()
		if e, owned := s.srv.registry.Get(qualified(o.Tenant, o.Name)); owned {
			o = s.srv.objectLocked(e)
		}
		s.srv.mu.Unlock()
	}
	d := rules.policy.Authorize(g, verb, o)
	return control.Explanation{Allowed: d.Allowed, Rule: d.Rule.String(), Because: rules.policy.Because(g, verb, d.Rule)}, nil
}
