package policy

import "fmt"

// Because says where stands what made a Rule decide about v for the peer that has g,
// where the Rule does not say so itself: the line of authorized_peers, or the section
// of the configuration, that gave the peer its level, and that gave its level or its
// tenant what counts; and the setting that refuses peers without a line. It is nil for
// a Rule that names its own line. g may be nil.
func (p *Policy) Because(g *Grant, v Verb, r Rule) (lines []string) {
	switch {
	case r.kind == byNoLocal:
		return []string{p.localAt("refuse")}
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
		return g.policy.localAt(g.level.String())
	}
	return g.rule.String()
}

// localAt is the setting that makes of local peers what it says.
func (p *Policy) localAt(value string) string { return setting(p.defaultsAt.Local, "local="+value) }

// setting is a default, and where it was set if that is known.
func setting(at, text string) string {
	text = "[defaults] " + text
	if at == "" {
		return text
	}
	return at + " " + text
}

// leveled says what gave the peer its level.
func (g *Grant) leveled() []string {
	switch {
	case g.rule.kind != byListed:
		return []string{g.place()}
	case g.listed.level:
		return []string{g.place() + " level=" + g.level.String()}
	}
	return []string{g.place() + " without level=", setting(g.policy.defaultsAt.Listed, "listed="+g.level.String())}
}
