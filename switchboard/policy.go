package switchboard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// Policy says who is admitted, and which names a peer may see, talk to and own
// (PROTOCOL.md §12). It is immutable. Make one with NewPolicy.
type Policy struct {
	cfg   policy.Config
	lines map[shs.PublicKey]*policy.Peer // of cfg.Peers
	keys  bool                           // there is a list of keys
}

// PolicyConfig is what a Policy is made of. The zero PolicyConfig admits nobody
// over TCP, and trusts who comes as the server's own user.
type PolicyConfig struct {
	// PeersFile is an authorized_peers file: a key and its rights on each line.
	// It must belong to the caller or root and be writable by nobody else.
	PeersFile string
	// PeersMayMiss says that PeersFile may be missing: nobody is listed then.
	PeersMayMiss bool
	// Peers is the text of such a file, in place of PeersFile.
	Peers io.Reader
	// RevokedFile is a revoked_peers file: the keys on its lines are refused,
	// whatever else stands here. Like PeersFile, but it may be missing.
	RevokedFile string
	// Bundles are the rights of levels, by name. Those that are not here have
	// the rights of PROTOCOL.md §12.
	Bundles map[string]Bundle
	// Listed is the level of keys without level= on their line; "" is untrusted.
	Listed string
	// Local is the level of the server's own user without a line; "" is trusted,
	// "refuse" is none: only keys with a line are admitted then.
	Local string
	// ListedAt and LocalAt are where these two were set, as policy.explain is to
	// name it: "switchboard.toml:7". "" is nowhere.
	ListedAt, LocalAt string
	// Tenants are those from which, or to which, names cross.
	Tenants map[string]Tenant
}

// Bundle is the rights of a level: patterns of names, as authorized_peers has
// them.
type Bundle struct{ Own, See, Talk []string }

// Tenant says which of its names other tenants may see, and which of theirs it
// may: patterns such as "org.example.**" or "org.example.** -> beta" of Export,
// "beta/org.example.**" or "*/**" of Import.
type Tenant struct{ Export, Import []string }

// localRefused is the PolicyConfig.Local that refuses.
const localRefused = "refuse"

// NewPolicy reads and checks what a Policy is made of. Its errors name the file
// and line, or the setting.
func NewPolicy(cfg PolicyConfig) (*Policy, error) {
	p := &Policy{cfg: policy.Defaults(), lines: make(map[shs.PublicKey]*policy.Peer)}
	for _, read := range []func(PolicyConfig) error{p.readPeers, p.readRevoked, p.readLevels, p.readBundles, p.readTenants} {
		if err := read(cfg); err != nil {
			return nil, err
		}
	}
	if _, err := policy.New(p.cfg); err != nil {
		return nil, err
	}
	return p, nil
}

// Keys is how many keys have a line.
func (p *Policy) Keys() int { return len(p.lines) }

// readPeers reads the lines of authorized_peers.
func (p *Policy) readPeers(cfg PolicyConfig) error {
	p.keys = cfg.Peers != nil || cfg.PeersFile != ""
	if !p.keys {
		return nil
	}
	read := func(r io.Reader) (err error) {
		if p.cfg.Peers, err = policy.ParsePeers(r); err != nil {
			return err
		}
		for i := range p.cfg.Peers {
			peer := &p.cfg.Peers[i]
			if err := shs.PublicKey(peer.Key).Check(); err != nil {
				return fmt.Errorf("line %d: %w", peer.Line, err)
			}
			p.lines[peer.Key] = peer
		}
		return nil
	}
	if cfg.Peers != nil {
		return read(cfg.Peers)
	}
	p.cfg.File = cfg.PeersFile // be it there or not: it is where changes go
	err := readOwned(cfg.PeersFile, read)
	if cfg.PeersMayMiss && errors.Is(err, fs.ErrNotExist) {
		p.keys, p.cfg.Peers = false, nil
		return nil
	}
	return err
}

func (p *Policy) readRevoked(cfg PolicyConfig) error {
	if cfg.RevokedFile == "" {
		return nil
	}
	err := readOwned(cfg.RevokedFile, func(r io.Reader) (err error) {
		p.cfg.Revoked, err = policy.ParseRevoked(r)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readOwned reads a file which must belong to the caller or root and be writable
// by nobody else, and may not be a symbolic link, else ErrUnsafePath.
func readOwned(path string, read func(io.Reader) error) error {
	text, err := peersfile.Read(path)
	if errors.Is(err, peersfile.ErrUnsafe) {
		return fmt.Errorf("%w: %w", ErrUnsafePath, err)
	}
	if err != nil {
		return err
	}
	if err := read(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (p *Policy) readLevels(cfg PolicyConfig) (err error) {
	p.cfg.DefaultsAt = policy.DefaultsAt{Listed: cfg.ListedAt, Local: cfg.LocalAt}
	if cfg.Listed != "" {
		if p.cfg.Listed, err = policy.ParseLevel(cfg.Listed); err != nil {
			return fmt.Errorf("level %.64q of listed peers: %w", cfg.Listed, err)
		}
	}
	switch cfg.Local {
	case "":
	case localRefused:
		p.cfg.LocalRefused = true
	default:
		if p.cfg.Local, err = policy.ParseLevel(cfg.Local); err != nil {
			return fmt.Errorf("level %.64q of local peers: %w, or %s", cfg.Local, err, localRefused)
		}
	}
	return nil
}

func (p *Policy) readBundles(cfg PolicyConfig) error {
	for name, b := range cfg.Bundles {
		level, err := policy.ParseLevel(name)
		if err != nil {
			return fmt.Errorf("rights of %.64q: %w", name, err)
		}
		var made policy.Bundle
		for _, f := range []struct {
			to   *[]policy.Pattern
			from []string
		}{{&made.Own, b.Own}, {&made.See, b.See}, {&made.Talk, b.Talk}} {
			if *f.to, err = parseAll(f.from, policy.ParsePattern); err != nil {
				return fmt.Errorf("rights of %s: %w", name, err)
			}
		}
		if p.cfg.Bundles == nil {
			p.cfg.Bundles = make(map[policy.Level]policy.Bundle)
		}
		p.cfg.Bundles[level] = made
	}
	return nil
}

func (p *Policy) readTenants(cfg PolicyConfig) error {
	for name, t := range cfg.Tenants {
		tenant, err := policy.ParseTenant(name)
		if err != nil {
			return fmt.Errorf("tenant %.64q: %w", name, err)
		}
		var made policy.Tenant
		if made.Export, err = parseAll(t.Export, policy.ParseExport); err == nil {
			made.Import, err = parseAll(t.Import, policy.ParsePattern)
		}
		if err != nil {
			return fmt.Errorf("tenant %s: %w", name, err)
		}
		if p.cfg.Tenants == nil {
			p.cfg.Tenants = make(map[string]policy.Tenant)
		}
		p.cfg.Tenants[tenant] = made
	}
	return nil
}

// parseAll parses each text.
func parseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for _, text := range texts {
		v, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%.300q: %w", text, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// bind makes the rules of a server.
func (p *Policy) bind(server shs.PublicKey) (*rules, error) {
	cfg := p.cfg
	cfg.Server = server
	r := &rules{source: p, from: make(map[shs.PublicKey]shs.PublicKey)}
	cfg.Peers = r.valid(cfg.Peers, time.Now())
	made, err := policy.New(cfg)
	if err != nil {
		return nil, err
	}
	r.policy = made
	r.tenants = len(cfg.Tenants) > 0
	for i := range cfg.Peers {
		r.tenants = r.tenants || cfg.Peers[i].Tenant != ""
	}
	return r, nil
}

// view is the same text for two grants, of whatever Policies, that see the same
// names: all that decides on them.
func (p *Policy) view(g *policy.Grant) string {
	var b strings.Builder
	fmt.Fprint(&b, g.Tenant(), g.Admin(), g.Level(), p.cfg.Tenants)
	rights, ok := p.cfg.Bundles[g.Level()]
	if !ok {
		rights = policy.DefaultBundles()[g.Level()]
	}
	if line := p.lines[g.Key()]; line != nil && line.HasRights() && g.Listed() { // it may have expired
		rights = policy.Bundle{Own: line.Own, See: line.See, Talk: line.Talk}
	}
	fmt.Fprint(&b, rights)
	return b.String()
}
