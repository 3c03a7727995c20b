package control

import "github.com/cad2f06c/switchboard/shs"

// Methods of enrolment (PROTOCOL.md §14).
const (
	MethodPeersList     = "peers.list"
	MethodPeersShow     = "peers.show"
	MethodPeersAdd      = "peers.add"
	MethodPeersSet      = "peers.set"
	MethodPeersRemove   = "peers.remove"
	MethodPeersRevoke   = "peers.revoke"
	MethodPeersRotate   = "peers.rotate"
	MethodPolicyExplain = "policy.explain"
	MethodInvitesNew    = "invites.new"
	MethodInvitesList   = "invites.list"
	MethodInvitesRemove = "invites.remove"
	MethodInviteRedeem  = "invite.redeem"
)

// enrolManifest adds these methods to a tree.
func enrolManifest(tree map[string]any) map[string]any {
	tree["peers"] = map[string]any{
		"list": "async", "show": "async", "add": "async", "set": "async", "remove": "async", "revoke": "async", "rotate": "async",
	}
	tree["policy"] = map[string]any{"explain": "async"}
	tree["invites"] = map[string]any{"new": "async", "list": "async", "remove": "async"}
	tree["invite"] = map[string]any{"redeem": "async"}
	return tree
}

// PeerArgs names a key, and what is to become of its line (peers.add, set, remove,
// revoke, show; invites.remove). Options are as a line writes them; in peers.set one
// without a value, "own=", is taken away.
type PeerArgs struct {
	Key     shs.PublicKey `json:"key"`
	Options []string      `json:"options,omitempty"`
	Comment string        `json:"comment,omitempty"`
}

// PeersListArgs asks for the lines behind a line (peers.list).
type PeersListArgs struct {
	After int `json:"after,omitempty"`
}

// PeersList is one page of lines, in the order of the file.
type PeersList struct {
	Peers []PeerInfo `json:"peers"`
	More  bool       `json:"more,omitempty"`
}

// PeerInfo is one line.
type PeerInfo struct {
	Key     shs.PublicKey `json:"key"`
	Options []string      `json:"options"`
	Comment string        `json:"comment,omitempty"`
	Line    int           `json:"line"`
	Revoked bool          `json:"revoked,omitempty"`
}

// PeerShow is a line, and what the rules in force make of the key over TCP. Line is
// 0 for a key that is revoked and has none.
type PeerShow struct {
	PeerInfo

	RevokedFor string `json:"revoked_for,omitempty"`
	Admitted   bool   `json:"admitted"`
	Level      string `json:"level,omitempty"`
	Tenant     string `json:"tenant,omitempty"`
	Rule       string `json:"rule"`
}

// ExplainArgs asks whether a key may do something with a name, as the key writes it
// (policy.explain). From is where it comes from: "net", the default, or "unix".
type ExplainArgs struct {
	Key  shs.PublicKey `json:"key"`
	Verb string        `json:"verb"`
	Name string        `json:"name,omitempty"`
	From string        `json:"from,omitempty"`
}

// Explanation is the answer, with the rule that decided. Because is where stands what
// made it decide, where the rule does not say so itself: lines of authorized_peers
// ("authorized_peers:4 level=basic") and sections of the configuration
// ("[defaults] listed=basic").
type Explanation struct {
	Allowed bool     `json:"allowed"`
	Rule    string   `json:"rule"`
	Because []string `json:"because,omitempty"`
}

// InviteArgs asks for an invite (invites.new): the options of who redeems it, as a
// line has them. Addresses is where it will find the server.
type InviteArgs struct {
	Own       string `json:"own,omitempty"`
	See       string `json:"see,omitempty"`
	Talk      string `json:"talk,omitempty"`
	Level     string `json:"level,omitempty"`
	Tenant    string `json:"tenant,omitempty"`
	TTLMS     *int64 `json:"ttl_ms,omitempty"`
	Comment   string `json:"comment,omitempty"`
	Addresses string `json:"addresses,omitempty"`
}

// InviteMade is a new invite. Code is a secret.
type InviteMade struct {
	Code    string        `json:"code"`
	Key     shs.PublicKey `json:"key"`
	Expires int64         `json:"expires"`
}

// Invites are those that are outstanding.
type Invites struct {
	Invites []PeerInfo `json:"invites"`
}

// RedeemArgs enters a key (invite.redeem).
type RedeemArgs struct {
	Key       shs.PublicKey `json:"key"`
	Signature []byte        `json:"signature"`
}

// RotateArgs puts Key in the place of the session's (peers.rotate). By is the
// signature of the old key, Proof that of the new one.
type RotateArgs struct {
	Key       shs.PublicKey `json:"key"`
	By        []byte        `json:"by"`
	Proof     []byte        `json:"proof"`
	OverlapMS *int64        `json:"overlap_ms,omitempty"`
}

// RotateResult says until when the old key is good, in ms since the Unix epoch.
type RotateResult struct {
	Expires int64 `json:"expires"`
}

// Labels of what keys sign beside handshakes.
const (
	RedeemLabel = "redeem"
	RotateLabel = "rotate"
)

// RedeemStatement is what a key signs that redeems an invite.
func RedeemStatement(server, invite shs.PublicKey) [][]byte { return [][]byte{server[:], invite[:]} }

// RotateStatement is what two keys sign of which one takes the place of the other.
func RotateStatement(server, from, to shs.PublicKey) [][]byte {
	return [][]byte{server[:], from[:], to[:]}
}

// Yes is the result true.
type Yes struct{}

// AppendJSON implements Body.
func (Yes) AppendJSON(b []byte) []byte { return append(b, "true"...) }

func (a *PeerArgs) field(name string) any {
	switch name {
	case "key":
		return &a.Key
	case "options":
		return &a.Options
	case "comment":
		return &a.Comment
	}
	return nil
}

func (a *PeersListArgs) field(name string) any {
	if name == "after" {
		return &a.After
	}
	return nil
}

func (a *ExplainArgs) field(name string) any {
	switch name {
	case "key":
		return &a.Key
	case "verb":
		return &a.Verb
	case "name":
		return &a.Name
	case "from":
		return &a.From
	}
	return nil
}

func (a *InviteArgs) field(name string) any {
	switch name {
	case "own":
		return &a.Own
	case "see":
		return &a.See
	case "talk":
		return &a.Talk
	case "level":
		return &a.Level
	case "tenant":
		return &a.Tenant
	case "ttl_ms":
		return &a.TTLMS
	case "comment":
		return &a.Comment
	case "addresses":
		return &a.Addresses
	}
	return nil
}

func (a *RedeemArgs) field(name string) any {
	switch name {
	case "key":
		return &a.Key
	case "signature":
		return &a.Signature
	}
	return nil
}

func (a *RotateArgs) field(name string) any {
	switch name {
	case "key":
		return &a.Key
	case "by":
		return &a.By
	case "proof":
		return &a.Proof
	case "overlap_ms":
		return &a.OverlapMS
	}
	return nil
}
