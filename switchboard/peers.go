package switchboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// PeerFiles are the files that say who may come, to be changed by administrators'
// calls and by invites (PROTOCOL.md §14). A change is on the disk, whole or not at
// all, before its call is answered.
type PeerFiles struct {
	// Authorized is the path of authorized_peers, which need not exist; that of a
	// Policy made of another PeersFile takes its place. In its directory, which the
	// server must be able to write to, are revoked_peers and invites.
	Authorized string
	// Addresses is where a peer with an invite finds the server, in the form of
	// PROTOCOL.md §1. An invite needs one; its maker may give another.
	Addresses string
}

func (f *PeerFiles) files() peersfile.Files { return peersfile.Beside(f.Authorized) }

// checkPeers reads the files that the policy does not hold, and does the rest of what
// an earlier server was cut off at.
func (s *Server) checkPeers() error {
	if s.cfg.Peers == nil {
		return nil
	}
	f := s.cfg.Peers.files()
	invites, err := f.ReadInvites(s.started)
	if err != nil {
		return fmt.Errorf("invites: %w", err)
	}
	for _, p := range invites {
		if err := shs.PublicKey(p.Key).Check(); err != nil {
			return fmt.Errorf("%s: line %d: %w", f.Invites, p.Line, err)
		}
	}
	return nil
}

// peersFiles are the files of the policy in force: a reload may have come to another
// list. Where it names none they are those of the configuration.
func (s *Server) peersFiles() peersfile.Files { return s.filesBeside(s.rules.Load().source) }

func (s *Server) filesBeside(p *Policy) peersfile.Files {
	return peersfile.Beside(cmp.Or(p.cfg.File, s.cfg.Peers.Authorized))
}

// filesOf are the files for a call.
func (s *Server) filesOf() (peersfile.Files, error) {
	if s.cfg.Peers == nil {
		return peersfile.Files{}, control.Unavailable.With("this server has no file of peers")
	}
	return s.peersFiles(), nil
}

// reload puts the files in force.
func (s *Server) reload(ctx context.Context) error {
	err := error(nil)
	if s.cfg.Reload != nil {
		err = s.cfg.Reload(ctx)
	} else {
		err = s.reread()
	}
	if err != nil {
		s.log.Error("the files of peers were changed and are not in force", "err", err)
		return control.Unavailable.With("written, but not in force: " + err.Error())
	}
	return nil
}

// reread is reload where there is no configuration but the files.
func (s *Server) reread() error { return s.amendPolicy(s.read) }

// read is a policy with the lines that the files have now.
func (s *Server) read(source *Policy) (*Policy, error) {
	next := &Policy{cfg: source.cfg, lines: make(map[shs.PublicKey]*policy.Peer)}
	f := s.filesBeside(source)
	err := next.readPeers(PolicyConfig{PeersFile: f.Peers, PeersMayMiss: true})
	if err == nil {
		err = next.readRevoked(PolicyConfig{RevokedFile: f.Revoked})
	}
	return next, err
}

// revoking is a policy with one more revoked key.
func (p *Policy) revoking(key shs.PublicKey) *Policy {
	next := *p
	next.cfg.Revoked = maps.Clone(p.cfg.Revoked)
	if next.cfg.Revoked == nil {
		next.cfg.Revoked = make(map[policy.Key]string)
	}
	next.cfg.Revoked[policy.Key(key)] = ""
	return &next
}

// editPeers makes one change in authorized_peers and puts it in force.
func (s *Server) editPeers(ctx context.Context, action policy.Action, a control.PeerArgs) error {
	f, err := s.filesOf()
	if err != nil {
		return err
	}
	if err := checkKey(a.Key); err != nil {
		return err
	}
	options, err := parseAll(a.Options, policy.ParseOption)
	if err != nil {
		return control.BadRequest.With(err.Error())
	}
	if err := f.Edit(ctx, policy.Change{Action: action, Key: policy.Key(a.Key), Options: options, Comment: a.Comment}); err != nil {
		return peersError(err)
	}
	return s.reload(ctx)
}

// revoke refuses a key from now on, before the call is answered on the disk, too.
func (s *Server) revoke(ctx context.Context, a control.PeerArgs) error {
	f, err := s.filesOf()
	switch {
	case err != nil:
		return err
	case a.Key.IsZero():
		return errNoKey
	case a.Key == s.key:
		return control.BadRequest.With("the server's own key is not revoked: that would shut out its administrator; give the server another key")
	}
	if err := f.Revoke(ctx, policy.Key(a.Key), a.Comment); err != nil {
		return peersError(err)
	}
	err = s.amendPolicy(func(p *Policy) (*Policy, error) { return p.revoking(a.Key), nil })
	if err != nil {
		return err
	}
	return s.reload(ctx) // behind one that has read the file before
}

// rotate puts another key in the place of a session's own.
func (s *Server) rotate(ctx context.Context, old shs.PublicKey, a control.RotateArgs) (control.RotateResult, error) {
	f, err := s.filesOf()
	if err != nil {
		return control.RotateResult{}, err
	}
	if err := checkKey(a.Key); err != nil {
		return control.RotateResult{}, err
	}
	overlap := defaultOverlap
	if a.OverlapMS != nil {
		overlap = time.Duration(*a.OverlapMS) * time.Millisecond
	}
	switch fields := control.RotateStatement(s.key, old, a.Key); {
	case a.Key == old || a.Key == s.key:
		return control.RotateResult{}, control.BadRequest.With("the new key must be another one")
	case a.OverlapMS != nil && (*a.OverlapMS < 0 || *a.OverlapMS > maxOverlap.Milliseconds()):
		return control.RotateResult{}, control.BadRequest.With("overlap_ms is 0 to 30 days")
	case !old.Verify(control.RotateLabel, a.By, fields...), !a.Key.Verify(control.RotateLabel, a.Proof, fields...):
		return control.RotateResult{}, control.BadRequest.With("both keys must sign the rotation")
	}
	until := time.Now().Add(overlap).Truncate(time.Second).Add(time.Second)
	if err := f.Rotate(ctx, policy.Key(old), policy.Key(a.Key), until); err != nil {
		return control.RotateResult{}, peersError(err)
	}
	if peers, err := f.ReadPeers(); err == nil { // it may have been done before
		for _, p := range peers {
			if p.Key == policy.Key(old) {
				until = time.UnixMilli(p.Expires)
			}
		}
	}
	return control.RotateResult{Expires: until.UnixMilli()}, s.reload(ctx)
}

// How long a rotated key stays good (PROTOCOL.md §14).
const (
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 30 * 24 * time.Hour
)

var errNoKey = control.BadRequest.With("key is missing")

// checkKey refuses what is no key of an honest peer.
func checkKey(key shs.PublicKey) error {
	if key.IsZero() {
		return errNoKey
	}
	if err := key.Check(); err != nil {
		return control.BadRequest.With("key: " + err.Error())
	}
	return nil
}

// peersError is what a caller hears of an error about the files.
func peersError(err error) error {
	switch {
	case errors.Is(err, policy.ErrNoPeer):
		return control.NotFound.With("the key has no line in authorized_peers")
	case errors.Is(err, policy.ErrPeer):
		return control.BadRequest.With("the key has a line in authorized_peers already")
	case errors.Is(err, policy.ErrRotated):
		return control.BadRequest.With("the key's line expires: only one that does not can be rotated")
	case errors.Is(err, peersfile.ErrNoInvite):
		return control.NotFound.With(err.Error())
	case errors.Is(err, peersfile.ErrTaken), errors.Is(err, peersfile.ErrRevoked):
		return control.NotAllowed.With(err.Error())
	case errors.Is(err, peersfile.ErrInvites):
		return control.Quota.With(err.Error())
	case errors.Is(err, peersfile.ErrBusy):
		return control.Busy.With(err.Error())
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok || errors.Is(err, peersfile.ErrUnsafe) || errors.Is(err, io.ErrShortWrite) {
		return control.Unavailable.With("nothing has changed: " + err.Error())
	}
	return control.BadRequest.With(err.Error())
}
