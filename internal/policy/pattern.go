package policy

import (
	"strings"

	"github.com/cad2f06c/switchboard/names"
)

// Object is what a peer wants to do something with: a name of a tenant.
type Object struct {
	Tenant string
	Name   names.Name
	Owner  Level // of who owns the name now, if Owned
	Owned  bool
}

// scope says of whose names a Pattern speaks.
type scope uint8

const (
	scopeOwn    scope = iota // those of the tenant of who has the pattern
	scopeNamed               // those of one tenant
	scopeOthers              // those of all tenants but one's own
)

const anyTenant = "*"

// Pattern selects names by tenant and elements. Its text is a names.Pattern, which
// speaks of one's own tenant alone, or one with a tenant before it: beta/P for the
// names of beta, default/P for those of the tenant without a name, */P for those of
// all other tenants.
//
// The zero Pattern is "**". Patterns compare with ==.
type Pattern struct {
	scope  scope
	tenant string // if scopeNamed
	names  names.Pattern
}

// ParsePattern reads a pattern. Its errors are ErrTenant and names.ErrPattern.
func ParsePattern(s string) (Pattern, error) {
	var p Pattern
	tenant, bare, ok := strings.Cut(s, tenantSep)
	switch {
	case !ok:
		bare = s
	case tenant == anyTenant:
		p.scope = scopeOthers
	default:
		var err error
		if p.tenant, err = ParseTenant(tenant); err != nil {
			return Pattern{}, err
		}
		p.scope = scopeNamed
	}
	var err error
	if p.names, err = names.ParsePattern(bare); err != nil {
		return Pattern{}, err
	}
	return p, nil
}

// String returns the text of p, which ParsePattern reads back as p.
func (p Pattern) String() string {
	switch p.scope {
	case scopeNamed:
		return TenantText(p.tenant) + tenantSep + p.names.String()
	case scopeOthers:
		return anyTenant + tenantSep + p.names.String()
	}
	return p.names.String()
}

// Covers reports whether p, in the hand of a peer of the tenant own, covers o.
// Whether the name crosses the tenants' borders is not its matter.
func (p Pattern) Covers(own string, o Object) bool {
	return p.covers(own, o.Tenant) && p.names.Match(o.Name)
}

// covers reports whether p speaks of names of tenant.
func (p Pattern) covers(own, tenant string) bool {
	switch p.scope {
	case scopeNamed:
		return tenant == p.tenant
	case scopeOthers:
		return tenant != own
	}
	return tenant == own
}
