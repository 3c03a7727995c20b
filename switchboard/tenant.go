package switchboard

import (
	"errors"
	"strings"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

// In the registry a name is tenant/name, or bare in the default tenant. On the
// wire it is written as its reader's tenant does: see rights.text.

// tenantMark ends the tenant in a name. Names have none.
const tenantMark = "/"

// qualified is a tenant's name as the registry has it.
func qualified(tenant string, n names.Name) names.Name {
	if tenant == "" {
		return n
	}
	return names.Name(tenant+tenantMark) + n
}

// object is a name of the registry as rules see it.
func object(n names.Name) policy.Object {
	tenant, bare, ok := strings.Cut(string(n), tenantMark)
	if !ok {
		return policy.Object{Name: n}
	}
	return policy.Object{Tenant: tenant, Name: names.Name(bare)}
}

// readName reads a name as a peer of the tenant own writes it.
func readName(own, s string) (policy.Object, error) {
	tenant, n, err := policy.ParseName(own, s)
	if errors.Is(err, policy.ErrTenant) {
		return policy.Object{}, control.NameInvalid.With("a tenant is 1 to 32 of a-z, 0-9, _ and -, then comes / and a name")
	}
	return policy.Object{Tenant: tenant, Name: n}, err
}

// match is a pattern of a list or a watch.
type match struct {
	scope  scope
	tenant string // of scopeTenant
	names  names.Pattern
}

// scope is whose names a match covers.
type scope uint8

const (
	scopeAll    scope = iota // everybody's: ** alone
	scopeOwn                 // one's own tenant's, whichever that is
	scopeTenant              // one tenant's
	scopeOthers              // those of all tenants but one's own
)

// readMatch reads a pattern; no pattern is every name.
func readMatch(s string) (match, error) {
	if s == "" {
		return match{}, nil
	}
	m := match{scope: scopeTenant}
	tenant, bare, ok := strings.Cut(s, tenantMark)
	switch {
	case !ok:
		bare, m.scope = s, scopeOwn
	case tenant == "*":
		m.scope = scopeOthers
	default:
		var err error
		if m.tenant, err = policy.ParseTenant(tenant); err != nil {
			return m, control.BadRequest.With("a tenant is 1 to 32 of a-z, 0-9, _ and -, or *; then comes / and a pattern")
		}
	}
	var err error
	if m.names, err = names.ParsePattern(bare); err == nil && !ok && m.names == (names.Pattern{}) {
		m.scope = scopeAll
	}
	return m, err
}

// covers reports whether m, in the hand of a peer of the tenant own, covers o.
func (m match) covers(own string, o policy.Object) bool {
	switch {
	case m.scope == scopeTenant && o.Tenant != m.tenant, m.scope == scopeOwn && o.Tenant != own, m.scope == scopeOthers && o.Tenant == own:
		return false
	}
	return m.names.Match(o.Name)
}

// matchers find who watches a name.
type matchers struct {
	tenants map[string]*names.Matcher[*watch] // by the tenant of the names
	foreign names.Matcher[*watch]             // of names of other tenants than the watch's
}

// add enters w, which is of the tenant own.
func (m *matchers) add(own string, p match, w *watch) {
	if p.scope == scopeAll || p.scope == scopeOthers {
		m.foreign.Add(p.names, w)
	}
	if p.scope == scopeOthers {
		return
	}
	if p.scope == scopeAll || p.scope == scopeOwn {
		p.tenant = own
	}
	if m.tenants == nil {
		m.tenants = make(map[string]*names.Matcher[*watch])
	}
	if m.tenants[p.tenant] == nil {
		m.tenants[p.tenant] = &names.Matcher[*watch]{}
	}
	m.tenants[p.tenant].Add(p.names, w)
}

// remove undoes add.
func (m *matchers) remove(own string, p match, w *watch) {
	if p.scope == scopeAll || p.scope == scopeOthers {
		m.foreign.Remove(p.names, w)
	}
	if p.scope == scopeOthers {
		return
	}
	if p.scope == scopeAll || p.scope == scopeOwn {
		p.tenant = own
	}
	of := m.tenants[p.tenant]
	if of.Remove(p.names, w); of.Empty() {
		delete(m.tenants, p.tenant)
	}
}

// each calls f for who watches o. crossing says that names may cross borders.
func (m *matchers) each(o policy.Object, crossing bool, f func(*watch)) {
	if of := m.tenants[o.Tenant]; of != nil {
		of.Each(o.Name, f)
	}
	if !crossing {
		return
	}
	m.foreign.Each(o.Name, func(w *watch) {
		if w.tenant != o.Tenant {
			f(w)
		}
	})
}

func (m *matchers) empty() bool { return len(m.tenants) == 0 && m.foreign.Empty() }
