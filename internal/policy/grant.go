package policy

// Grant is what a Policy gives to a proven key. It is immutable and safe for
// concurrent use.
type Grant struct {
	policy *Policy
	key    Key
	origin Origin
	tenant string
	level  Level
	admin  bool
	rate   Rate
	rule   Rule
	listed listed
	rights *rights
}

// Key returns the proven key.
func (g *Grant) Key() Key { return g.key }

// Tenant returns the tenant that the peer lives in.
func (g *Grant) Tenant() string { return g.tenant }

// Level returns the peer's level.
func (g *Grant) Level() Level { return g.level }

// Admin reports whether the peer is an administrator.
func (g *Grant) Admin() bool { return g.admin }

// Rate returns the rate on the peer's line.
func (g *Grant) Rate() Rate { return g.rate }

// Rule returns why the key was admitted.
func (g *Grant) Rule() Rule { return g.rule }

// Listed reports whether the peer was admitted by its line.
func (g *Grant) Listed() bool { return g.rule.kind == byListed }

// SeesAll reports whether the peer sees every name of tenant, so that they need not
// be asked about one by one. That several patterns together cover every name is not
// found out: false says nothing.
func (g *Grant) SeesAll(tenant string) bool {
	return g.rights.all(See, tenant) && (tenant == g.tenant || g.policy.allCross(tenant, g.tenant))
}

// of is the grant for one peer of which the rest is shared.
func (g Grant) of(key Key, o Origin) *Grant {
	g.key, g.origin = key, o
	return &g
}
