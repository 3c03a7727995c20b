package switchboard

import (
	"errors"
	"sync/atomic"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/names"
)

// bound is a limit of what peers may hold or do, whose excess is counted. What
// stands before the login is an outcome of an admission.
type bound uint8

const (
	overSessions    bound = iota // logins refused: of all peers together
	overKey                      // of the key
	overSource                   // of the source
	overUser                     // of the user, over Unix sockets
	overCalls                    // calls that were busy
	overCallRate                 // calls that were rate_limited
	overMethodRate               // likewise, of a method that has a rate
	overBody                     // sessions that ended by a packet that is too large
	overWatches                  // watches refused
	overWatchQueue               // watches that lagged
	overLags                     // watches that ended, for they lagged too often
	overNames                    // claims refused: of the key, or waiters for the name
	overTenant                   // of the tenant
	overReplace                  // replaced too often
	overOffers                   // connects that waited for the callee
	overAttempts                 // attempts at direct links refused
	overMoved                    // moves refused
	overPassed                   // sockets that were not passed: of the session
	overPassedTotal              // of all sessions
	overStall                    // channels reset for bytes that were not taken
	overInvites                  // invites not made
	overRedeems                  // invites of one source refused
	bounds
)

// String is the word for a bound in statistics.
func (b bound) String() string {
	return [bounds]string{
		"sessions", "sessions_per_key", "sessions_per_source", "sessions_per_uid", "calls", "call_rate", "rates", "body",
		"watches", "watch_queue", "watch_lags", "names_per_key", "names_per_tenant", "replaces",
		"offers", "attempts", "moved", "passed", "passed_total", "channel_stall", "invites", "redeem_rate",
	}[b]
}

// excess counts what has gone over a limit. Safe for concurrent use.
type excess struct {
	n   [bounds]atomic.Int64
	mux mux.Excess // of all yamux sessions
}

func (x *excess) count(b bound) { x.n[b].Add(1) }

// login counts a login that was refused for its number.
func (x *excess) login(err error) {
	switch {
	case errors.Is(err, errSessions):
		x.count(overSessions)
	case errors.Is(err, errKeySessions):
		x.count(overKey)
	case errors.Is(err, errSourceSessions):
		x.count(overSource)
	case errors.Is(err, errUserSessions):
		x.count(overUser)
	}
}

// claim counts a claim that was refused for its number.
func (x *excess) claim(err error) {
	switch {
	case errors.Is(err, names.ErrQuota):
		x.count(overNames)
	case errors.Is(err, errTenantFull):
		x.count(overTenant)
	case errors.Is(err, names.ErrRate):
		x.count(overReplace)
	}
}

// end counts a session that ended for what its peer sent.
func (x *excess) end(err error) {
	if errors.Is(err, muxrpc.ErrTooLarge) {
		x.count(overBody)
	}
}

// counts are all that are not zero, by the limit's name.
func (x *excess) counts() map[string]int64 {
	all := make(map[string]int64)
	add := func(name string, n *atomic.Int64) {
		if n := n.Load(); n > 0 {
			all[name] = n
		}
	}
	for b := range bounds {
		add(b.String(), &x.n[b])
	}
	m := &x.mux
	for name, n := range map[string]*atomic.Int64{
		"lanes": &m.Streams, "lane_backlog": &m.Backlog, "open_rate": &m.Opens, "held": &m.Held, "held_total": &m.Whole,
		"dead_after": &m.Silent, "write_timeout": &m.Stalled,
		"reset_rate": &m.Resets, "ping_rate": &m.Pings, "update_rate": &m.Updates, "empty_frames": &m.Empty,
		"early_resets": &m.Early, "unread": &m.Unread, "id_gaps": &m.Gaps,
	} {
		add(name, n)
	}
	return all
}
