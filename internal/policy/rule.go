package policy

import "fmt"

// Decision is what Authorize answers.
type Decision struct {
	Allowed bool
	Rule    Rule // that decided
}

// Rule is why a decision fell. If several rules allow something, it is one of them.
// The zero Rule is that there is none. Rules compare with ==.
type Rule struct {
	kind         ruleKind
	verb         Verb  // byLine: the option
	level, owner Level // byLevel, byLocal, byTrust
	line         int   // byLine, byAdmin, byListed
	file         string
	text         string // byLine: the pattern; byExport, byImport: the tenant
}

type ruleKind uint8

const (
	byNothing  ruleKind = iota
	byListed            // admitted by a line
	byLocal             // admitted without a line
	byServer            // admitted as the server itself
	byLine              // allowed by an option of a line
	byLevel             // allowed by the bundle of a level
	byAdmin             // allowed by the word admin
	byTrust             // denied, for the owner is trusted
	byExport            // denied by the owner's tenant
	byImport            // denied by the caller's tenant
	byBorder            // denied, for own never crosses tenants
	byUnknown           // denied, for the key is not listed any more
	byRevoked           // denied, for the key is revoked by now
	byOwnerKey          // denied, for the server's key is refused from afar
	byNoLocal           // denied, for a key without a line is refused even to who is local
)

// String returns the rule in words: "authorized_peers:12 talk=org.example.**",
// "level trusted", "no rule", "tenant beta does not export it".
func (r Rule) String() string {
	switch r.kind {
	case byListed:
		return fmt.Sprintf("%s:%d", r.file, r.line)
	case byLocal:
		return "local, level " + r.level.String()
	case byServer:
		return "the server's own key"
	case byLine:
		return fmt.Sprintf("%s:%d %s=%s", r.file, r.line, r.verb, r.text)
	case byLevel:
		return "level " + r.level.String()
	case byAdmin:
		return fmt.Sprintf("%s:%d %s", r.file, r.line, optionAdmin)
	case byTrust:
		return fmt.Sprintf("level %s may not talk to %s", r.level, r.owner)
	case byExport:
		return fmt.Sprintf("tenant %s does not export it", TenantText(r.text))
	case byImport:
		return fmt.Sprintf("tenant %s does not import it", TenantText(r.text))
	case byBorder:
		return "own never crosses tenants"
	case byUnknown:
		return "the key is not listed"
	case byRevoked:
		return "the key is revoked"
	case byOwnerKey:
		return "the server's own key is refused from afar"
	case byNoLocal:
		return "the key is not listed, and local peers without a line are refused"
	}
	return "no rule"
}

// Reason is why something was denied, in one lower-case word for logs and counters:
// no_rule, trust_level_mismatch, not_exported, not_imported, cross_tenant, unknown,
// revoked, server_key. It is "" for a rule that allows.
func (r Rule) Reason() string {
	switch r.kind {
	case byNothing:
		return "no_rule"
	case byTrust:
		return "trust_level_mismatch"
	case byExport:
		return "not_exported"
	case byImport:
		return "not_imported"
	case byBorder:
		return "cross_tenant"
	case byUnknown, byNoLocal:
		return "unknown"
	case byRevoked:
		return "revoked"
	case byOwnerKey:
		return "server_key"
	}
	return ""
}
