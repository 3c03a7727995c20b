// Package control holds what the server and its peers say to each other on
// control lanes: the method names, the argument and result structs with their
// JSON shapes, the error codes and their Go values, and the strict decoding of
// arguments (PROTOCOL.md §4 to §6).
//
// Server and client both import it, so that no word of the contract is written
// twice. It has no I/O, no clock and no goroutines.
package control

// Version is the protocol version that whoami reports.
const Version = "1"

// Methods of a control lane (PROTOCOL.md §5). The first group is answered by
// the server, the second by peers.
const (
	MethodManifest = "manifest"
	MethodWhoAmI   = "whoami"
	MethodPing     = "ping"
	MethodClaim    = "names.claim"
	MethodRelease  = "names.release"
	MethodUpdate   = "names.update"
	MethodList     = "names.list"
	MethodGet      = "names.get"
	MethodWatch    = "names.watch"
	MethodConnect  = "connect"
	MethodAccept   = "accept"

	MethodChannelDirect = "channel.direct"
	MethodChannelMoved  = "channel.moved"
	MethodChannelClosed = "channel.closed"
	MethodChannelAdopt  = "channel.adopt"
	MethodChannelsList  = "channels.list"
	MethodChannelsClose = "channels.close"

	MethodSessionsList  = "sessions.list"
	MethodSessionsClose = "sessions.close"
	MethodStats         = "stats"
	MethodRates         = "rates"
	MethodReload        = "reload"
	MethodAuditTail     = "audit.tail"

	MethodOffer        = "offer"
	MethodChannelLink  = "channel.link"
	MethodChannelFD    = "channel.fd"
	MethodChannelClose = "channel.close"
	MethodGoingAway    = "going_away"
)

// Limits that both ends know (PROTOCOL.md §8).
const (
	// MaxServerBody is the largest packet body towards the server.
	MaxServerBody = 64 << 10
	// MaxPeerBody is the largest packet body towards a peer.
	MaxPeerBody = 1 << 20
	// MaxMeta is the largest meta or info document.
	MaxMeta = 4 << 10
	// MaxRefusal is the longest message of a refusing callee, in bytes.
	MaxRefusal = 256
)

// Times in milliseconds that a connect may ask for (PROTOCOL.md §6).
const (
	MinTimeoutMS     = 100
	DefaultTimeoutMS = 10_000
	MaxTimeoutMS     = 60_000
)

// For how long a direct channel may be without a control session, in milliseconds
// (PROTOCOL.md §10).
const (
	DefaultLeaseMS = 60_000
	maxLeaseMS     = 24 * 60 * 60_000
)

// maxSpreadMS is how long a server may have clients wait before they come back, in
// milliseconds.
const maxSpreadMS = 60_000

// Manifest is the method tree that `manifest` answers, the same to everybody.
// It lists what the server serves.
func Manifest() map[string]any {
	return enrolManifest(map[string]any{
		MethodManifest: "async",
		MethodWhoAmI:   "async",
		MethodPing:     "async",
		"names": map[string]any{
			"claim":   "async",
			"release": "async",
			"update":  "async",
			"list":    "async",
			"get":     "async",
			"watch":   "source",
		},
		MethodConnect: "duplex",
		MethodAccept:  "duplex",
		"channel": map[string]any{
			"direct": "async",
			"moved":  "async",
			"closed": "async",
			"adopt":  "async",
		},
		"channels": map[string]any{
			"list":  "async",
			"close": "async",
		},
		"sessions": map[string]any{
			"list":  "async",
			"close": "async",
		},
		MethodStats:  "async",
		MethodRates:  "async",
		MethodReload: "async",
		"audit": map[string]any{
			"tail": "source",
		},
	})
}
