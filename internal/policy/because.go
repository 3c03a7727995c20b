package policy

import "fmt"

// Because says where stands what made a Rule decide about v for the peer that has g,
// where the Rule does not say so itself: the line of authorized_peers, or the section
// of the configuration, that gave the peer its level, and that gave its level or its
// tenant what counts. It is nil for a Rule that names its own line.
func (p *Policy) Because(g *Grant, v Verb, r Rule) (lines []string) {
	switch {
	case g == nil:
		return nil
	case r.kind == byNothing && v == Admin:
		return []string{g.place() + " without " + optionAdmin}
	case r.kind == byNothing && g.listed.rights:
		return []string{g.place() + " gives its rights"}
	case r.kind == byLevel, r.kind == byNothing:
		section := fmt.Sprintf("[levels.%s]", g.level)
		if !p.bundled[g.level] {
			section += " as built in"
		}
		return append(g.leveled(), section)
	case r.kind == byTrust:
		return g.leveled()
	case r.kind == byExport:
		return []string{fmt.Sprintf("[tenants.%s] export", TenantText(r.text))}
	case r.kind == byImport:
		return []string{fmt.Sprintf("[tenants.%s] import", TenantText(r.text))}
	}
	return nil
}

// listed is what stands on the line of a peer that has one.
type listed struct {
	level  bool // level=
	rights bool // own=, see= or talk=
}

// place is where the peer stands, or what stands for it.
func (g *Grant) place() string {
	if g.rule.kind == byLocal {
		return "[defaults] local=" + g.level.String()
	}
	return g.rule.String()
}

// leveled says what gave the peer its level.
func (g *Grant) leveled() []string {
	switch {
	case g.rule.kind != byListed:
		return []string{g.place()}
	case g.listed.level:
		return []string{g.place() + " level=" + g.level.String()}
	}
	return []string{g.place() + " without level=", "[defaults] listed=" + g.level.String()}
}
