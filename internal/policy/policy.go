package policy

import "errors"

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

// Bundle is the rights of a level.
type Bundle struct{ Own, See, Talk []Pattern }

// DefaultBundles returns the rights of all levels where a Config says nothing else.
func DefaultBundles() map[Level]Bundle { return nil }

// Config is what a Policy is made of. The zero Config admits nobody from afar; who
// is local is untrusted.
type Config struct {
	Peers        []Peer
	Revoked      map[Key]string    // with comments; refused everywhere, whatever else stands here
	Bundles      map[Level]Bundle  // of levels that are not here, DefaultBundles hold
	Listed       Level             // of peers whose line has no level=
	Local        Level             // of local peers without a line; Defaults says Trusted
	LocalRefused bool              // local peers without a line are refused
	Tenants      map[string]Tenant // "" is the tenant default
	Server       Key               // zero: none
	File         string            // of Peers, as Rules name it; "" is authorized_peers
}

// Defaults returns a Config with the defaults of the program: lines without level=
// are untrusted, local peers without a line are trusted.
func Defaults() Config { return Config{Listed: Untrusted, Local: Trusted} }

// Policy is an immutable snapshot of all rules. Safe for concurrent use.
type Policy struct{}

// New compiles a Config, of which it keeps nothing.
func New(cfg Config) (*Policy, error) { return nil, errors.ErrUnsupported }

// ID is a short text that differs between policies that differ.
func (p *Policy) ID() string { return "" }

// Authenticate admits a proven key or refuses it, with ErrRevoked, ErrServerKey or
// ErrUnknown.
func (p *Policy) Authenticate(key Key, o Origin) (*Grant, error) { return nil, ErrUnknown }

// Authorize decides whether who has g may do v with o. Of Admin, o is not looked at.
func (p *Policy) Authorize(g *Grant, v Verb, o Object) Decision { return Decision{} }

// Decision is what Authorize answers.
type Decision struct {
	Allowed bool
	Rule    Rule // that decided
}

// Rule is why a decision fell. Rules compare with ==.
type Rule struct{ text string }

// String returns the rule in words.
func (r Rule) String() string { return r.text }

// Grant is what a Policy gives to a proven key. It is immutable.
type Grant struct {
	key    Key
	tenant string
	level  Level
	admin  bool
	rate   Rate
	rule   Rule
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

// SeesAll reports whether the peer sees all names of tenant, so that they need not
// be asked about one by one.
func (g *Grant) SeesAll(tenant string) bool { return false }
