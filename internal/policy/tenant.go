package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cad2f06c/switchboard/names"
)

const (
	maxTenant     = 32 // bytes
	defaultTenant = "default"
	tenantSep     = "/"
)

// ErrTenant says that a text is no name of a tenant.
var ErrTenant = errors.New("policy: a tenant is 1 to 32 of a-z 0-9 _ -, and begins with a letter or digit")

// ParseTenant reads the name of a tenant: [a-z0-9][a-z0-9_-]{0,31}. The word
// default is the tenant of peers without one, and read as "".
func ParseTenant(s string) (string, error) {
	if s == "" || !validTenant(s) {
		return "", ErrTenant
	}
	if s == defaultTenant {
		return "", nil
	}
	return s, nil
}

// TenantText writes a tenant as ParseTenant reads it: "" is default.
func TenantText(tenant string) string {
	if tenant == "" {
		return defaultTenant
	}
	return tenant
}

// validTenant reports whether s has the form of a tenant's name.
func validTenant(s string) bool {
	if len(s) == 0 || len(s) > maxTenant {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case (c == '_' || c == '-') && i > 0:
		default:
			return false
		}
	}
	return true
}

// isTenant reports whether s is a tenant as ParseTenant returns it.
func isTenant(s string) bool { return s == "" || validTenant(s) && s != defaultTenant }

// ParseName reads a name as a peer of the tenant own writes it: bare for its own
// tenant, tenant/name for any. Its errors are ErrTenant and names.ErrInvalid.
func ParseName(own, s string) (tenant string, n names.Name, err error) {
	tenant, bare := own, s
	if before, after, ok := strings.Cut(s, tenantSep); ok {
		if tenant, err = ParseTenant(before); err != nil {
			return "", "", err
		}
		bare = after
	}
	if n, err = names.ParseName(bare); err != nil {
		return "", "", err
	}
	return tenant, n, nil
}

// NameText writes the name n of tenant for a peer of the tenant own.
func NameText(own, tenant string, n names.Name) string {
	if tenant == own {
		return string(n)
	}
	return TenantText(tenant) + tenantSep + string(n)
}

// Tenant says what crosses a tenant's border. A name crosses where its owner's
// tenant exports it and the caller's imports it.
type Tenant struct {
	Export []Export
	Import []Pattern // each names the tenant: beta/P, or */P for all others
}

// Export offers names of a tenant to all others, or to one.
type Export struct {
	Names names.Pattern
	Only  bool   // to the tenant To alone
	To    string // if Only
}

const exportArrow = "->"

// ParseExport reads "P", or "P -> tenant".
func ParseExport(s string) (Export, error) {
	pattern, to, only := strings.Cut(s, exportArrow)
	if only {
		pattern, to = strings.TrimSpace(pattern), strings.TrimSpace(to)
	}
	var e Export
	var err error
	if e.Names, err = names.ParsePattern(pattern); err != nil {
		return Export{}, err
	}
	if only {
		e.Only = true
		if e.To, err = ParseTenant(to); err != nil {
			return Export{}, err
		}
	}
	return e, nil
}

// String returns the text of e, which ParseExport reads back as e.
func (e Export) String() string {
	if !e.Only {
		return e.Names.String()
	}
	return fmt.Sprintf("%s %s %s", e.Names, exportArrow, TenantText(e.To))
}
