package peersfile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cad2f06c/switchboard/internal/policy"
)

// AddInvite enters an invite: its public key, and the options of who redeems it. The
// invites that have expired go. With most outstanding it is ErrInvites.
func (f Files) AddInvite(ctx context.Context, now time.Time, most int, key policy.Key, comment string, options ...policy.Option) error {
	return f.locked(ctx, func() error {
		return f.changeInvites(now, func(all []policy.Peer) ([]policy.Change, error) {
			if len(all) >= most {
				return nil, fmt.Errorf("%w: %d", ErrInvites, len(all))
			}
			return []policy.Change{{Action: policy.Add, Key: key, Comment: comment, Options: options}}, nil
		})
	})
}

// RemoveInvite takes an invite back; ErrNoInvite if there is none.
func (f Files) RemoveInvite(ctx context.Context, now time.Time, key policy.Key) error {
	return f.locked(ctx, func() error { return f.removeInvite(now, key) })
}

func (f Files) removeInvite(now time.Time, key policy.Key) error {
	return f.changeInvites(now, func(all []policy.Peer) ([]policy.Change, error) {
		if _, err := find(all, key); err != nil {
			return nil, err
		}
		return []policy.Change{{Action: policy.Remove, Key: key}}, nil
	})
}

// Redeem makes a line of authorized_peers out of an invite, for the key peer, and
// removes the invite. It is done in three steps, each of which is whole or not at
// all: the invite is bound to the key, the line is added, the invite goes. After the
// first no other key may redeem it, and what ends the process there is made good by
// another Redeem, or by Finish. Without such an invite it is ErrNoInvite, with one
// that is bound to another key ErrTaken, for a peer that is revoked ErrRevoked, and for
// one that has a line policy.ErrPeer; the invite is as it was.
func (f Files) Redeem(ctx context.Context, now time.Time, invite, peer policy.Key) error {
	return f.locked(ctx, func() error {
		all, err := f.ReadInvites(now)
		if err != nil {
			return err
		}
		p, err := find(all, invite)
		switch {
		case err != nil:
			return err
		case p.Redeemer == peer:
			if err := f.mayAdd(peer); errors.Is(err, ErrRevoked) { // since
				return err
			}
			return f.finish(now, p)
		case p.Redeemer != policy.Key{}:
			return ErrTaken
		}
		if err := f.mayAdd(peer); err != nil {
			return err
		}
		p.Redeemer = peer
		err = f.changeInvites(now, func([]policy.Peer) ([]policy.Change, error) {
			bind := policy.Option{Name: "peer", Value: policy.KeyText(peer)}
			return []policy.Change{{Action: policy.Set, Key: invite, Options: []policy.Option{bind}}}, nil
		})
		if err != nil {
			return err
		}
		return f.finish(now, p)
	})
}

// Finish does the rest of redemptions that were cut off, and says of how many.
func (f Files) Finish(ctx context.Context, now time.Time) (done int, err error) {
	all, err := f.ReadInvites(now)
	if err != nil || !slices.ContainsFunc(all, func(p policy.Peer) bool { return p.Redeemer != policy.Key{} }) {
		return 0, err // the usual case needs no lock, nor a place to write to
	}
	err = f.locked(ctx, func() error {
		if all, err = f.ReadInvites(now); err != nil {
			return err
		}
		for _, p := range all {
			if p.Redeemer == (policy.Key{}) {
				continue
			}
			if err := f.finish(now, p); err != nil {
				return err
			}
			done++
		}
		return nil
	})
	return done, err
}

// mayAdd refuses a key that has a line, or is revoked.
func (f Files) mayAdd(key policy.Key) error {
	revoked, err := f.ReadRevoked()
	if err != nil {
		return err
	}
	if _, ok := revoked[key]; ok {
		return ErrRevoked
	}
	text, _, err := readIf(f.Peers)
	if err != nil {
		return err
	}
	_, err = policy.Edit(text, policy.Change{Action: policy.Add, Key: key})
	return named(f.Peers, err)
}

// finish adds the line of a bound invite, unless that was done, and removes it.
func (f Files) finish(now time.Time, p policy.Peer) error {
	var options []policy.Option
	for _, o := range p.Options() {
		if o.Name != "peer" && o.Name != "expires" {
			options = append(options, o)
		}
	}
	err := f.editPeers([]policy.Change{{Action: policy.Add, Key: p.Redeemer, Comment: p.Comment, Options: options}})
	if err != nil && !errors.Is(err, policy.ErrPeer) && !errors.Is(err, ErrRevoked) {
		return err
	}
	return f.removeInvite(now, p.Key)
}

// changeInvites changes the invites, and drops those that have expired.
func (f Files) changeInvites(now time.Time, do func(all []policy.Peer) ([]policy.Change, error)) error {
	all, err := f.ReadInvites(now)
	if err != nil {
		return err
	}
	changes, err := do(all)
	if err != nil {
		return err
	}
	return change(f.Invites, func(text []byte) ([]byte, error) {
		text, err := dropExpired(text, now)
		if err == nil {
			text, err = policy.EditInvites(text, changes...)
		}
		return text, named(f.Invites, err)
	})
}

func find(all []policy.Peer, key policy.Key) (policy.Peer, error) {
	for _, p := range all {
		if p.Key == key {
			return p, nil
		}
	}
	return policy.Peer{}, ErrNoInvite
}
