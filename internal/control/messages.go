package control

import (
	"encoding/json"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// ClaimArgs asks for a name (names.claim). Info absent leaves the published
// info as it is; it is at most MaxMeta bytes of JSON.
type ClaimArgs struct {
	Name    string          `json:"name"`
	Queue   bool            `json:"queue,omitempty"`
	Replace bool            `json:"replace,omitempty"`
	Yield   bool            `json:"yield,omitempty"`
	Info    json.RawMessage `json:"info,omitempty"`
}

// ClaimResult tells what a claim made of the claimant: "owner" or "waiting".
// Epoch is 0 for a waiter.
type ClaimResult struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Epoch uint64 `json:"epoch"`
	Rev   uint64 `json:"rev"`
}

// NameArgs names a name (names.release, names.get).
type NameArgs struct {
	Name string `json:"name"`
}

// UpdateArgs replaces the info of an owned name (names.update).
type UpdateArgs struct {
	Name string          `json:"name"`
	Info json.RawMessage `json:"info"`
}

// RevResult answers names.release and names.update.
type RevResult struct {
	Name string `json:"name"`
	Rev  uint64 `json:"rev"`
}

// ListArgs selects the names of names.list. Match is a pattern, "**" when
// absent; After is the last name of the page before; Brief asks for the names
// alone. All, for administrators, is every name of every tenant, and behind them
// the sessions without a name: entries whose name is empty.
type ListArgs struct {
	Match string `json:"match,omitempty"`
	After string `json:"after,omitempty"`
	Brief bool   `json:"brief,omitempty"`
	All   bool   `json:"all,omitempty"`
}

// ListResult is one page of names, sorted, without info. More says that
// another page follows.
type ListResult struct {
	Rev   uint64  `json:"rev"`
	Names []Entry `json:"names"`
	More  bool    `json:"more,omitempty"`
}

// BriefList is one page of a list that was asked for with Brief.
type BriefList struct {
	Rev   uint64   `json:"rev"`
	Names []string `json:"names"`
	More  bool     `json:"more,omitempty"`
}

// WatchArgs selects the names of names.watch. Since asks for the changes after
// a rev instead of a snapshot.
type WatchArgs struct {
	Match string  `json:"match,omitempty"`
	Since *uint64 `json:"since,omitempty"`
}

// Entry is one present name: who owns it, since when (ms since the Unix
// epoch), and what the owner published about it.
type Entry struct {
	Name      string          `json:"name"`
	ID        shs.PublicKey   `json:"id"`
	Session   string          `json:"session"`
	Since     int64           `json:"since"`
	Epoch     uint64          `json:"epoch"`
	Info      json.RawMessage `json:"info,omitempty"`
	Transport string          `json:"transport"`
	Waiters   int             `json:"waiters,omitempty"`
}

// Kinds of Event. Synced ends a snapshot; Lagged means that events were lost
// and a snapshot follows: forget everything.
const (
	EventConnected    = "connected"
	EventDisconnected = "disconnected"
	EventMoved        = "moved"
	EventUpdated      = "updated"
	EventSynced       = "synced"
	EventLagged       = "lagged"
)

// Event is one item of names.watch. Entry is absent in disconnected events;
// Name too in synced and lagged ones.
type Event struct {
	Rev   uint64 `json:"rev"`
	Type  string `json:"type"`
	Name  string `json:"name,omitempty"`
	Entry *Entry `json:"entry,omitempty"`
	Was   *Was   `json:"was,omitempty"`
}

// Was is the owner before a change.
type Was struct {
	ID      shs.PublicKey `json:"id"`
	Session string        `json:"session"`
	Epoch   uint64        `json:"epoch"`
}

// WhoAmI is what the server knows of the caller, and of itself. Tenant is
// absent in the default one.
type WhoAmI struct {
	ID      shs.PublicKey `json:"id"`
	Session string        `json:"session"`
	Names   []string      `json:"names"`
	Level   string        `json:"level"`
	Tenant  string        `json:"tenant,omitempty"`
	Server  ServerInfo    `json:"server"`
}

// ServerInfo describes the server. Started is in ms since the Unix epoch. LeaseMS is
// for how long a direct channel may be without a control session; 0 is the default.
// SpreadMS is within how long those who have all lost the server are to come back; 0:
// at once.
type ServerInfo struct {
	ID       shs.PublicKey `json:"id"`
	Version  string        `json:"version"`
	Protocol string        `json:"protocol"`
	Started  int64         `json:"started"`
	LeaseMS  int64         `json:"lease_ms,omitempty"`
	SpreadMS int64         `json:"spread_ms,omitempty"`
}

// Lease is LeaseMS as a time.
func (s *ServerInfo) Lease() time.Duration {
	if s.LeaseMS <= 0 || s.LeaseMS > maxLeaseMS {
		return DefaultLeaseMS * time.Millisecond
	}
	return time.Duration(s.LeaseMS) * time.Millisecond
}

// Spread is SpreadMS as a time.
func (s *ServerInfo) Spread() time.Duration {
	return time.Duration(min(max(s.SpreadMS, 0), maxSpreadMS)) * time.Millisecond
}

// ConnectArgs asks for a channel. To is a name or a session id; Key and Epoch
// pin whom the caller means. Direct are the kinds of links that the caller can
// dial, Resume what it keeps of a link that dies; with Require no byte of the
// channel may go over the server, with Sealed none that the server can read.
type ConnectArgs struct {
	To        string          `json:"to"`
	Key       *shs.PublicKey  `json:"key,omitempty"`
	Epoch     *uint64         `json:"epoch,omitempty"`
	Meta      json.RawMessage `json:"meta,omitempty"`
	Direct    []string        `json:"direct,omitempty"`
	Resume    int64           `json:"resume,omitempty"`
	Require   bool            `json:"require,omitempty"`
	Sealed    bool            `json:"sealed,omitempty"`
	TimeoutMS *int64          `json:"timeout_ms,omitempty"`
}

// ConnectResult is the caller's success: whom it talks to, and what it may
// dial.
type ConnectResult struct {
	Channel string `json:"channel"`
	Peer    Callee `json:"peer"`
	Direct  *Links `json:"direct,omitempty"`
	Sealed  bool   `json:"sealed,omitempty"`
}

// Callee is the called end of a channel as the caller sees it. Epoch is 0 when
// a session id was called.
type Callee struct {
	ID      shs.PublicKey `json:"id"`
	Name    string        `json:"name"`
	Session string        `json:"session"`
	Epoch   uint64        `json:"epoch,omitempty"`
}

// OfferArgs offers a channel to a callee. All but Meta is stamped by the
// server; Token is there only for a callee that comes on a new connection.
type OfferArgs struct {
	Channel string          `json:"channel"`
	Token   string          `json:"token,omitempty"`
	Name    string          `json:"name"`
	Epoch   uint64          `json:"epoch,omitempty"`
	Peer    Caller          `json:"peer"`
	Meta    json.RawMessage `json:"meta,omitempty"`
	Direct  *LinkAsk        `json:"direct,omitempty"`
	Require bool            `json:"require,omitempty"`
	Sealed  bool            `json:"sealed,omitempty"`
}

// Caller is the calling end of a channel as the callee sees it.
type Caller struct {
	ID      shs.PublicKey `json:"id"`
	Session string        `json:"session"`
	Names   []string      `json:"names"`
	Level   string        `json:"level"`
	Tenant  string        `json:"tenant"`
}

// OfferResult is the callee's yes: where it listens, and what of the offer it
// agrees to.
type OfferResult struct {
	Direct  *LinkAnswer `json:"direct,omitempty"`
	Require bool        `json:"require,omitempty"`
	Sealed  bool        `json:"sealed,omitempty"`
}

// AcceptArgs binds a new lane to an offered channel.
type AcceptArgs struct {
	Channel string `json:"channel"`
	Token   string `json:"token"`
}

// AcceptResult confirms the binding; the lane is raw from there.
type AcceptResult struct {
	Channel string `json:"channel"`
}

// ChannelCloseArgs tells a peer why a channel of its ends.
type ChannelCloseArgs struct {
	Channel string `json:"channel"`
	Reason  string `json:"reason,omitempty"`
}

// GoingAwayArgs tells a peer that the server stops, and for how many
// milliseconds open channels may go on at most.
type GoingAwayArgs struct {
	DrainMS int64 `json:"drain_ms"`
}
