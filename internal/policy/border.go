package policy

import (
	"errors"
	"fmt"

	"github.com/cad2f06c/switchboard/names"
)

// border is what a tenant lets out and takes in, compiled. Both are rights to see: in
// exports of the tenant that asks, in imports of the tenant asked for.
type border struct{ exports, imports *rights }

var (
	errToItself   = errors.New("a tenant exports nothing to itself, and imports nothing of its own")
	errImportBare = errors.New("an import names the tenant: beta/P, or */P for all others")
)

// newBorder compiles one tenant.
func newBorder(tenant string, t Tenant) (*border, error) {
	exports, imports := plan{tenant: tenant}, plan{tenant: tenant}
	exported, imported := exports.rule(Rule{}), imports.rule(Rule{})
	for _, e := range t.Export {
		p := Pattern{scope: scopeOthers, names: e.Names}
		if e.Only {
			p = Pattern{scope: scopeNamed, tenant: e.To, names: e.Names}
		}
		if e.Only && e.To == tenant {
			return nil, fmt.Errorf("tenant %s: export %.64q: %w", TenantText(tenant), e, errToItself)
		}
		exports.add(p, See, exported)
	}
	for _, p := range t.Import {
		switch {
		case p.scope == scopeOwn:
			return nil, fmt.Errorf("tenant %s: import %.64q: %w", TenantText(tenant), p, errImportBare)
		case p.covers(tenant, tenant):
			return nil, fmt.Errorf("tenant %s: import %.64q: %w", TenantText(tenant), p, errToItself)
		}
		imports.add(p, See, imported)
	}
	return &border{exports.rights(), imports.rights()}, nil
}

// crosses says whether a name of tenant from exists in tenant to, and if not, why.
func (p *Policy) crosses(from, to string, n names.Name) (Rule, bool) {
	if b := p.borders[from]; b == nil || b.exports.find(See, to, n) == nil {
		return Rule{kind: byExport, text: from}, false
	}
	if b := p.borders[to]; b == nil || b.imports.find(See, from, n) == nil {
		return Rule{kind: byImport, text: to}, false
	}
	return Rule{}, true
}

// allCross reports whether every name of tenant from exists in tenant to.
func (p *Policy) allCross(from, to string) bool {
	b, c := p.borders[from], p.borders[to]
	return b != nil && c != nil && b.exports.all(See, to) && c.imports.all(See, from)
}
