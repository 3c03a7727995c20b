package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// asClientError is an error answer in err.
func asClientError(err error) (*client.Error, bool) { return errors.AsType[*client.Error](err) }

// serverBook asks a server.
type serverBook struct{ c *client.Client }

func (b serverBook) list(ctx context.Context) (all []peer, err error) {
	for {
		var page struct {
			Peers []peer `json:"peers"`
			More  bool   `json:"more"`
		}
		var after struct {
			After int `json:"after,omitempty"`
		}
		if n := len(all); n > 0 {
			after.After = all[n-1].Line
		}
		if err := b.c.Call(ctx, "peers.list", after, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Peers...)
		if !page.More || len(page.Peers) == 0 {
			return all, nil
		}
	}
}

func (b serverBook) show(ctx context.Context, key shs.PublicKey) (p shown, err error) {
	return p, b.c.Call(ctx, "peers.show", peerChange{Key: key}, &p)
}

func (b serverBook) change(ctx context.Context, verb string, c peerChange) error {
	return b.c.Call(ctx, "peers."+verb, c, nil)
}

// fileBook is an authorized_peers file, with revoked_peers beside it.
type fileBook string

func (b fileBook) files() peersfile.Files { return peersfile.Beside(string(b)) }

func (b fileBook) list(context.Context) ([]peer, error) {
	peers, err := b.files().ReadPeers()
	if err != nil {
		return nil, err
	}
	revoked, err := b.files().ReadRevoked()
	if err != nil {
		return nil, err
	}
	var all []peer
	for _, p := range peers {
		line := peer{Key: shs.PublicKey(p.Key), Options: []string{}, Comment: p.Comment, Line: p.Line}
		for _, o := range p.Options() {
			line.Options = append(line.Options, o.String())
		}
		_, line.Revoked = revoked[p.Key]
		all = append(all, line)
	}
	return all, nil
}

func (b fileBook) show(ctx context.Context, key shs.PublicKey) (shown, error) {
	all, err := b.list(ctx)
	if err != nil {
		return shown{}, err
	}
	revoked, err := b.files().ReadRevoked()
	if err != nil {
		return shown{}, err
	}
	p := shown{peer: peer{Key: key}}
	found := false
	for _, line := range all {
		if line.Key == key {
			p.peer, found = line, true
			p.Rule = fmt.Sprintf("%s:%d", string(b), line.Line)
		}
	}
	if p.RevokedFor, p.Revoked = revoked[policy.Key(key)]; p.Revoked {
		p.Rule = "the key is revoked"
	}
	if !found && !p.Revoked {
		return shown{}, failure{exitNotFound, fmt.Errorf("the key has no line in %s", string(b))}
	}
	return p, nil
}

func (b fileBook) change(ctx context.Context, verb string, c peerChange) error {
	if verb == "revoke" {
		return b.files().Revoke(ctx, policy.Key(c.Key), c.Comment)
	}
	change := policy.Change{Key: policy.Key(c.Key), Comment: c.Comment}
	switch verb {
	case "add":
		change.Action = policy.Add
	case "set":
		change.Action = policy.Set
	case "remove":
		change.Action = policy.Remove
	}
	for _, text := range c.Options {
		o, err := policy.ParseOption(text)
		if err != nil {
			return usageError{err}
		}
		change.Options = append(change.Options, o)
	}
	err := b.files().Edit(ctx, change)
	_, badLine := errors.AsType[*policy.LineError](err)
	_, badPath := errors.AsType[*fs.PathError](err)
	switch {
	case err == nil, badLine, badPath, errors.Is(err, peersfile.ErrUnsafe), errors.Is(err, peersfile.ErrBusy):
		return err
	case errors.Is(err, policy.ErrNoPeer):
		return failure{exitNotFound, fmt.Errorf("the key has no line in %s", string(b))}
	case errors.Is(err, policy.ErrPeer):
		return usagef("the key has a line in %s already (peers set changes it)", string(b))
	case errors.Is(err, peersfile.ErrRevoked):
		return failure{exitNotAllowed, err}
	}
	return usageError{err}
}
