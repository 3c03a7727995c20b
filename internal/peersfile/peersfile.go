// Package peersfile changes the files that say who may come: authorized_peers,
// and beside it revoked_peers and invites.
//
// A change is on the disk when the call returns, and there whole or not at all,
// whatever ends the process in between: a file is written anew beside the old one
// and takes its place. Mode and owner stay. Who changes the files at the same time,
// in this process or another, waits for its turn: all lock their directory.
//
// A file must be regular, belong to the user of the process or root, and be
// writable by nobody else; a symbolic link is refused. That is looked at on the open
// file.
package peersfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/internal/policy"
)

// Bounds.
const (
	maxFile  = 16 << 20 // bytes
	lockTime = 5 * time.Second
)

// Errors.
var (
	// ErrUnsafe is a file that somebody else could have changed, or that is none.
	ErrUnsafe = errors.New("unsafe file")
	// ErrBusy says that others were changing the files all the time.
	ErrBusy = errors.New("somebody else is changing the files")
	// ErrNoInvite says that there is no such invite, or not any more.
	ErrNoInvite = errors.New("there is no such invite")
	// ErrTaken says that another key is redeeming the invite.
	ErrTaken = errors.New("the invite is being redeemed by another key")
	// ErrInvites says that there are as many as there may be.
	ErrInvites = errors.New("too many invites are outstanding")
	// ErrRevoked says that the key is revoked.
	ErrRevoked = errors.New("the key is revoked")
)

// Files are the paths of the files, all in one directory.
type Files struct{ Peers, Revoked, Invites string }

// Beside are the files that belong to an authorized_peers file.
func Beside(peers string) Files {
	dir := filepath.Dir(peers)
	return Files{Peers: peers, Revoked: filepath.Join(dir, "revoked_peers"), Invites: filepath.Join(dir, "invites")}
}

// ReadPeers reads authorized_peers. That it is missing is fs.ErrNotExist.
func (f Files) ReadPeers() ([]policy.Peer, error) {
	text, err := Read(f.Peers)
	if err != nil {
		return nil, err
	}
	peers, err := policy.ParsePeers(bytes.NewReader(text))
	return peers, named(f.Peers, err)
}

// ReadRevoked reads revoked_peers, which may be missing.
func (f Files) ReadRevoked() (map[policy.Key]string, error) {
	text, _, err := readIf(f.Revoked)
	if err != nil {
		return nil, err
	}
	revoked, err := policy.ParseRevoked(bytes.NewReader(text))
	return revoked, named(f.Revoked, err)
}

// ReadInvites reads the invites, which may be missing: those that are good at now. One
// that is bound to a key is good until its redemption is finished.
func (f Files) ReadInvites(now time.Time) ([]policy.Peer, error) {
	text, _, err := readIf(f.Invites)
	if err != nil {
		return nil, err
	}
	all, err := policy.ParseInvites(bytes.NewReader(text))
	if err != nil {
		return nil, named(f.Invites, err)
	}
	valid := all[:0]
	for _, p := range all {
		if good(p, now) {
			valid = append(valid, p)
		}
	}
	return valid, nil
}

// good reports whether an invite has not expired before it was bound.
func good(p policy.Peer, now time.Time) bool { return p.Redeemer != policy.Key{} || p.Valid(now) }

// Edit makes changes in authorized_peers. Its errors are those of policy.Edit, with
// the name of the file, and what becomes of files. To add a revoked key is ErrRevoked.
func (f Files) Edit(ctx context.Context, changes ...policy.Change) error {
	return f.locked(ctx, func() error { return f.editPeers(changes) })
}

func (f Files) editPeers(changes []policy.Change) error {
	for _, c := range changes {
		var keys []policy.Key
		switch c.Action {
		case policy.Rotate:
			keys = []policy.Key{c.Key, c.To} // a revoked key names no heir
		case policy.Add:
			keys = []policy.Key{c.Key}
		default:
			continue
		}
		revoked, err := f.ReadRevoked()
		if err != nil {
			return err
		}
		for _, key := range keys {
			if _, ok := revoked[key]; ok {
				return ErrRevoked
			}
		}
	}
	return change(f.Peers, func(text []byte) ([]byte, error) {
		text, err := policy.Edit(text, changes...)
		if err == nil && len(text) == 0 { // an empty file might be one that is being written
			text = []byte("# nobody is listed\n")
		}
		return text, named(f.Peers, err)
	})
}

// Revoke adds a key to revoked_peers, unless it is there. It is the file's last line
// then, and the other lines are as they were.
func (f Files) Revoke(ctx context.Context, key policy.Key, comment string) error {
	return f.locked(ctx, func() error {
		return change(f.Revoked, func(text []byte) ([]byte, error) {
			revoked, err := policy.ParseRevoked(bytes.NewReader(text))
			if err != nil {
				return nil, named(f.Revoked, err)
			}
			if _, twice := revoked[key]; twice {
				return text, nil
			}
			if len(text) > 0 && text[len(text)-1] != '\n' {
				text = append(text, '\n')
			}
			line := policy.KeyText(key)
			if comment = strings.TrimSpace(comment); comment != "" {
				line += " # " + comment
			}
			text = append(text, line+"\n"...)
			_, err = policy.ParseRevoked(bytes.NewReader(text)) // of the comment
			return text, named(f.Revoked, err)
		})
	})
}

// Rotate puts the key to on the line of from, which has a line behind it that is
// good until a moment. A second time it does nothing. With a revoked key on either
// side it is ErrRevoked.
func (f Files) Rotate(ctx context.Context, from, to policy.Key, until time.Time) error {
	return f.locked(ctx, func() error {
		peers, err := f.ReadPeers()
		if err != nil {
			return err
		}
		for _, p := range peers {
			if p.Key == from && p.Next == to {
				return nil
			}
		}
		return f.editPeers([]policy.Change{{Action: policy.Rotate, Key: from, To: to, Until: until.UnixMilli()}})
	})
}

// named puts the file's name in front of an error about its text.
func named(path string, err error) error {
	if _, ok := errors.AsType[*policy.LineError](err); ok {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}
