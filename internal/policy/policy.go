package policy

import (
	"errors"
)

// Why a key is refused.
var (
	ErrUnknown   = errors.New("policy: the key is not listed")
	ErrRevoked   = errors.New("policy: the key is revoked")
	ErrServerKey = errors.New("policy: the server's own key is refused from afar")
)

// Origin is where a peer comes from. The zero Origin is Far.
type Origin uint8

// The origins.
const (
	Far   Origin = iota // over the network
	Local               // the server's user over a Unix socket, or in its process
)

// Policy is an immutable snapshot of all rules. Safe for concurrent use.
type Policy struct {
	id      string
	peers   map[Key]Grant // without key and origin
	revoked map[Key]struct{}
	server  Key
	self    Grant  // of the server's own key
	local   *Grant // of local peers without a line; nil: refused
	borders map[string]*border
	bundled [Verified + 1]bool // levels whose bundle is not the built-in one

	defaultsAt DefaultsAt
}

// ID returns 16 characters that differ between policies that decide differently.
// Comments and the order and place of lines do not count.
func (p *Policy) ID() string { return p.id }

// Authenticate admits a proven key or refuses it. It is the only way to a Grant, and
// decides by the first line that holds:
//
//	the key is revoked                    → ErrRevoked
//	it is the server's own, and local     → an administrator, level verified, with all rights
//	it has a line                         → what the line says
//	it is the server's own                → ErrServerKey
//	it is local, unless these are refused → the level Config.Local
//	else                                  → ErrUnknown
func (p *Policy) Authenticate(key Key, o Origin) (*Grant, error) {
	if _, ok := p.revoked[key]; ok {
		return nil, ErrRevoked
	}
	isServer := key == p.server && key != Key{}
	if isServer && o == Local {
		return p.self.of(key, o), nil
	}
	if g, ok := p.peers[key]; ok {
		return g.of(key, o), nil
	}
	if isServer {
		return nil, ErrServerKey
	}
	if o == Local && p.local != nil {
		return p.local.of(key, o), nil
	}
	return nil, ErrUnknown
}

// Authorize decides whether the peer that has g may do v with o. It is the only place
// where that is decided, by the first line that holds:
//
//	g is nil                               → no
//	g is of another snapshot               → as a new Grant for its key decides
//	v is Admin                             → if the peer is an administrator; o is not looked at
//	o is of another tenant, and v is Own   → no
//	o's tenant does not export it          → no
//	the peer's tenant does not import it   → no
//	no pattern of v, or of a verb that
//	  implies v, covers o                  → no
//	v is Talk, the peer is untrusted, and
//	  who owns o is trusted or verified    → no
//	else                                   → yes
//
// It allocates nothing, unless g is of another snapshot.
func (p *Policy) Authorize(g *Grant, v Verb, o Object) Decision {
	if g == nil {
		return Decision{}
	}
	if g.policy != p {
		var err error
		from := g.origin
		if g, err = p.Authenticate(g.key, from); err != nil {
			return Decision{Rule: Refusal(err, from)}
		}
	}
	switch v {
	case See, Talk, Own:
	case Admin:
		return g.administers()
	default:
		return Decision{}
	}
	if o.Tenant != g.tenant {
		if v == Own {
			return Decision{Rule: Rule{kind: byBorder}}
		}
		if rule, ok := p.crosses(o.Tenant, g.tenant, o.Name); !ok {
			return Decision{Rule: rule}
		}
	}
	rule := g.rights.find(v, o.Tenant, o.Name)
	if rule == nil {
		return Decision{}
	}
	if v == Talk && o.Owned && o.Owner.outranks(g.level) {
		return Decision{Rule: Rule{kind: byTrust, level: g.level, owner: o.Owner}}
	}
	return Decision{Allowed: true, Rule: *rule}
}

// administers decides about Admin.
func (g *Grant) administers() Decision {
	if !g.admin {
		return Decision{}
	}
	rule := g.rule // the server's own key
	if rule.kind == byListed {
		rule.kind = byAdmin
	}
	return Decision{Allowed: true, Rule: rule}
}

// Refusal is the rule by which Authenticate has refused a key that came from o.
func Refusal(err error, o Origin) Rule {
	switch {
	case errors.Is(err, ErrRevoked):
		return Rule{kind: byRevoked}
	case errors.Is(err, ErrServerKey):
		return Rule{kind: byOwnerKey}
	case o == Local:
		return Rule{kind: byNoLocal}
	}
	return Rule{kind: byUnknown}
}
