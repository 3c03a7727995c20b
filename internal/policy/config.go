package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Bundle is the rights of a level. A peer has those, or the ones on its line.
type Bundle struct{ Own, See, Talk []Pattern }

// DefaultBundles returns the rights of all levels where a Config says nothing else:
//
//	untrusted          nothing
//	basic              see and talk ** and */**
//	trusted, verified  own **, see and talk ** and */**
func DefaultBundles() map[Level]Bundle {
	own, others := Pattern{}, Pattern{scope: scopeOthers}
	every := []Pattern{own, others}
	return map[Level]Bundle{
		Untrusted: {},
		Basic:     {See: every, Talk: every},
		Trusted:   {Own: []Pattern{own}, See: every, Talk: every},
		Verified:  {Own: []Pattern{own}, See: every, Talk: every},
	}
}

// Config is what a Policy is made of. The zero Config admits nobody from afar, and
// gives no rights to who is local: see Defaults.
type Config struct {
	Peers        []Peer
	Revoked      map[Key]string    // with comments; refused everywhere, whatever else stands here
	Bundles      map[Level]Bundle  // for levels that are not here, DefaultBundles hold
	Listed       Level             // of peers whose line has no level=
	Local        Level             // of local peers without a line, in the tenant default
	LocalRefused bool              // local peers without a line are refused
	Tenants      map[string]Tenant // "" is the tenant default
	Server       Key               // the server's own; zero: none
	File         string            // where Peers stand, as Rules name it; "" is authorized_peers
	DefaultsAt   DefaultsAt
}

// DefaultsAt is where Config.Listed and Local were set, as Because names it:
// "switchboard.toml:7". "" is nowhere, or nobody knows.
type DefaultsAt struct{ Listed, Local string }

// Defaults returns a Config with the defaults of the program: peers whose line has no
// level= are untrusted, local peers without a line are trusted.
func Defaults() Config { return Config{Listed: Untrusted, Local: Trusted} }

// New compiles a Config and keeps nothing of it. What is wrong with a peer is a
// *LineError.
func New(cfg Config) (*Policy, error) {
	if cfg.File == "" {
		cfg.File = "authorized_peers"
	}
	configured := cfg.Bundles
	cfg.Bundles = DefaultBundles()
	maps.Copy(cfg.Bundles, configured)
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p := &Policy{
		id:      cfg.id(),
		peers:   make(map[Key]Grant, len(cfg.Peers)),
		revoked: make(map[Key]struct{}, len(cfg.Revoked)),
		server:  cfg.Server,
		borders: make(map[string]*border, len(cfg.Tenants)),

		defaultsAt: cfg.DefaultsAt,
	}
	for level := range configured {
		p.bundled[level] = true
	}
	for key := range cfg.Revoked {
		p.revoked[key] = struct{}{}
	}
	for name, t := range cfg.Tenants {
		b, err := newBorder(name, t)
		if err != nil {
			return nil, err
		}
		p.borders[name] = b
	}
	c := compiler{cfg: cfg, policy: p, bundles: make(map[home]*rights)}
	for _, peer := range cfg.Peers {
		p.peers[peer.Key] = c.grant(peer)
	}
	self := Rule{kind: byServer}
	p.self = Grant{policy: p, level: Verified, admin: true, rule: self, rights: DefaultBundles()[Verified].rights("", self)}
	if !cfg.LocalRefused {
		p.local = &Grant{policy: p, level: cfg.Local, rule: Rule{kind: byLocal, level: cfg.Local},
			rights: c.bundle(home{level: cfg.Local})}
	}
	return p, nil
}

var (
	errNoLevel  = errors.New("policy: no such level")
	errOwnOther = errors.New("policy: a bundle owns names of the own tenant only")
	errKeyTwice = errors.New("the key comes twice")
)

// check refuses a Config that says what cannot be.
func (c *Config) check() error {
	for _, l := range append(slices.Sorted(maps.Keys(c.Bundles)), c.Listed, c.Local) {
		if l > Verified {
			return fmt.Errorf("%w: %d", errNoLevel, l)
		}
		for _, p := range c.Bundles[l].Own {
			if p.scope != scopeOwn {
				return fmt.Errorf("%w: level %s, own %.64q", errOwnOther, l, p)
			}
		}
	}
	for _, t := range slices.Sorted(maps.Keys(c.Tenants)) {
		if !isTenant(t) {
			return fmt.Errorf("tenant %.64q: %w", t, ErrTenant)
		}
		for _, e := range c.Tenants[t].Export {
			if !isTenant(e.To) {
				return fmt.Errorf("tenant %s: export to %.64q: %w", TenantText(t), e.To, ErrTenant)
			}
		}
	}
	seen := make(map[Key]struct{}, len(c.Peers))
	for i := range c.Peers {
		p := &c.Peers[i]
		_, twice := seen[p.Key]
		seen[p.Key] = struct{}{}
		err := peersFile.check(p)
		switch {
		case err != nil:
		case twice:
			err = errKeyTwice
		case p.HasLevel && p.Level > Verified:
			err = errNoLevel
		case !isTenant(p.Tenant):
			err = ErrTenant
		case p.Rate != (Rate{}) && (p.Rate.N < 1 || p.Rate.Seconds < 1):
			err = ErrRate
		}
		if err != nil {
			return &LineError{p.Line, err}
		}
	}
	return nil
}

// compiler makes grants. Bundles are compiled once for each level and tenant.
type compiler struct {
	cfg     Config
	policy  *Policy
	bundles map[home]*rights
}

type home struct {
	level  Level
	tenant string
}

// grant compiles one peer.
func (c *compiler) grant(p Peer) Grant {
	g := Grant{policy: c.policy, tenant: p.Tenant, level: c.cfg.Listed, admin: p.Admin, rate: p.Rate,
		rule: Rule{kind: byListed, file: c.cfg.File, line: p.Line}, listed: listed{p.HasLevel, p.HasRights()}}
	if p.HasLevel {
		g.level = p.Level
	}
	if !p.HasRights() {
		g.rights = c.bundle(home{g.level, g.tenant})
		return g
	}
	own := plan{tenant: p.Tenant}
	for _, o := range []struct {
		verb     Verb
		patterns []Pattern
	}{{See, p.See}, {Talk, p.Talk}, {Own, p.Own}} {
		for _, pattern := range o.patterns {
			rule := Rule{kind: byLine, verb: o.verb, file: c.cfg.File, line: p.Line, text: pattern.String()}
			own.add(pattern, o.verb, own.rule(rule))
		}
	}
	g.rights = own.rights()
	return g
}

// bundle returns the rights of a level in a tenant.
func (c *compiler) bundle(h home) *rights {
	r := c.bundles[h]
	if r == nil {
		r = c.cfg.Bundles[h.level].rights(h.tenant, Rule{kind: byLevel, level: h.level})
		c.bundles[h] = r
	}
	return r
}

// rights compiles a bundle for a tenant, all under one rule.
func (b Bundle) rights(tenant string, rule Rule) *rights {
	p := plan{tenant: tenant}
	one := p.rule(rule)
	p.addAll(b.See, See, one)
	p.addAll(b.Talk, Talk, one)
	p.addAll(b.Own, Own, one)
	return p.rights()
}
