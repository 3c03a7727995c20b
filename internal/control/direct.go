package control

import (
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/cad2f06c/switchboard/internal/quickjson"
	"github.com/cad2f06c/switchboard/shs"
)

// Kinds of direct links, in order of preference (PROTOCOL.md §10). Whoever reads
// a list of kinds skips those that it does not know.
const (
	KindFD   = "fd"
	KindUnix = "unix"
	KindNet  = "net"
)

// Roles of an end in channel.adopt.
const (
	RoleCaller = "caller"
	RoleCallee = "callee"
)

// States of a channel in channels.list.
const (
	StateRelayed = "relayed"
	StateDirect  = "direct"
)

// Secret is what an attempt at a direct link is known by, to its two ends and
// the server. In JSON it is 64 lower-case hex digits.
type Secret [32]byte

var errSecret = errors.New("control: a secret is 64 lower-case hex digits")

// MarshalText writes the hex digits.
func (s Secret) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads them; there is one spelling of each secret.
func (s *Secret) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return errSecret
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errSecret
		}
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// LinkAsk asks a callee to listen for one attempt at a direct link of one of
// the kinds. UID is the user that it may expect on a Unix socket. Survive says
// that the channel may outlive a control session that is gone for long.
type LinkAsk struct {
	Secret  Secret   `json:"secret"`
	Kinds   []string `json:"kinds"`
	UID     *uint32  `json:"uid,omitempty"`
	Resume  int64    `json:"resume,omitempty"`
	Survive bool     `json:"survive,omitempty"`
}

// LinkAnswer says where a callee listens for an attempt: the path of a Unix
// socket, a TCP port, or that it takes a descriptor.
type LinkAnswer struct {
	Unix   string `json:"unix,omitempty"`
	Net    int    `json:"net,omitempty"`
	FD     bool   `json:"fd,omitempty"`
	Resume int64  `json:"resume,omitempty"`
}

// UnmarshalJSON reads field names by exact case, as those of arguments.
func (a *LinkAnswer) UnmarshalJSON(raw []byte) error { return decodeFields(raw, a) }

// Links tell a caller what it may dial in one attempt, in order of preference.
type Links struct {
	Secret  Secret `json:"secret"`
	Links   []Link `json:"links"`
	Resume  int64  `json:"resume,omitempty"`
	Survive bool   `json:"survive,omitempty"`
}

// Link is one of them: a path with the user whom to expect there, "IP:PORT",
// or the number of a descriptor.
type Link struct {
	Unix string  `json:"unix,omitempty"`
	UID  *uint32 `json:"uid,omitempty"`
	Net  string  `json:"net,omitempty"`
	FD   *int    `json:"fd,omitempty"`
}

// ChannelDirectArgs asks for another attempt at a direct link (channel.direct).
// Direct are the kinds that the caller can dial.
type ChannelDirectArgs struct {
	Channel string   `json:"channel"`
	Direct  []string `json:"direct"`
	Resume  int64    `json:"resume,omitempty"`
}

// ChannelDirectResult answers it.
type ChannelDirectResult struct {
	Direct Links `json:"direct"`
}

// ChannelLinkArgs is what the server asks a callee then (channel.link).
type ChannelLinkArgs struct {
	Channel string  `json:"channel"`
	Direct  LinkAsk `json:"direct"`
}

// ChannelLinkResult answers it.
type ChannelLinkResult struct {
	Direct LinkAnswer `json:"direct"`
}

// ChannelFDArgs tells a callee which descriptor its end of a link is
// (channel.fd): those that the server passes to a session are counted from 0.
type ChannelFDArgs struct {
	Channel string `json:"channel"`
	FD      int    `json:"fd"`
}

// ChannelMovedArgs says that a channel is all on its link (channel.moved).
// Link is the kind. With Resume the lanes stay.
type ChannelMovedArgs struct {
	Channel string `json:"channel"`
	Link    string `json:"link"`
	Resume  bool   `json:"resume,omitempty"`
}

// ChannelClosedArgs says that an end of a moved channel is over
// (channel.closed): why, and what it sent and received in all, in bytes.
type ChannelClosedArgs struct {
	Channel  string `json:"channel"`
	Reason   string `json:"reason,omitempty"`
	Sent     int64  `json:"sent"`
	Received int64  `json:"received"`
}

// AdoptArgs are the moved channels that a session has an end of
// (channel.adopt).
type AdoptArgs struct {
	Channels []Adopt `json:"channels"`
}

// Adopt is one of them. Peer is the key of the other end, Role that of this
// one, Name what was called, Link the kind.
type Adopt struct {
	Channel string        `json:"channel"`
	Peer    shs.PublicKey `json:"peer"`
	Role    string        `json:"role"`
	Name    string        `json:"name"`
	Link    string        `json:"link"`
}

// UnmarshalJSON reads field names by exact case, as those of arguments.
func (a *Adopt) UnmarshalJSON(raw []byte) error { return decodeFields(raw, a) }

// AdoptResult says which of them go on, and which have to end.
type AdoptResult struct {
	Keep []string `json:"keep"`
	Drop []string `json:"drop"`
}

// ChannelsListArgs selects the channels of channels.list: those with an end of
// the asker's key, or all. After is the last channel of the page before.
type ChannelsListArgs struct {
	All   bool   `json:"all,omitempty"`
	After string `json:"after,omitempty"`
}

// ChannelsList is one page of channels, sorted by id. More says that another
// page follows.
type ChannelsList struct {
	Channels []ChannelInfo `json:"channels"`
	More     bool          `json:"more,omitempty"`
}

// ChannelInfo is a channel as it is listed. In is the bytes from the caller to
// the callee as far as the server saw them, Out the other way; Since is in ms
// since the Unix epoch.
type ChannelInfo struct {
	Channel string     `json:"channel"`
	Name    string     `json:"name"`
	Caller  ChannelEnd `json:"caller"`
	Callee  ChannelEnd `json:"callee"`
	State   string     `json:"state"`
	Link    string     `json:"link,omitempty"`
	In      int64      `json:"in"`
	Out     int64      `json:"out"`
	Since   int64      `json:"since"`
}

// ChannelEnd is one end. Session is empty while no session stands for it.
type ChannelEnd struct {
	ID      shs.PublicKey `json:"id"`
	Session string        `json:"session"`
}

// DecodeOfferResult reads a callee's yes as strictly as an argument: fields by
// exact case, unknown ones ignored. It is for an answer that was asked for
// something; any other yes needs no reading. Errors are *Error with BadRequest.
func DecodeOfferResult(raw json.RawMessage) (OfferResult, error) {
	var res OfferResult
	return res, decodeStrict(raw, &res)
}

// DecodeLinkResult reads the answer of channel.link as strictly.
func DecodeLinkResult(raw json.RawMessage) (ChannelLinkResult, error) {
	var res ChannelLinkResult
	return res, decodeStrict(raw, &res)
}

// decodeStrict reads an object of a peer's answer, which nobody has looked at.
func decodeStrict(raw json.RawMessage, v Args) error {
	if !json.Valid(raw) {
		return BadRequest.With("the answer is not JSON")
	}
	return decodeFields(raw, v)
}

// AppendJSON appends any value of this package. It is for what is written
// seldom; what every channel needs is a Body.
func AppendJSON[T any](b []byte, v *T) []byte { return appendMarshalled(b, "", v) }

// appendMarshalled appends a field that package json writes. What it is used
// for are types of this package, which can all be written.
func appendMarshalled(b []byte, field string, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("control: a message cannot be written: " + err.Error())
	}
	return append(append(b, field...), raw...)
}

// appendKinds appends a field of kinds.
func appendKinds(b []byte, field string, kinds []string) []byte {
	b = append(append(b, field...), '[')
	for i, kind := range kinds {
		if i > 0 {
			b = append(b, ',')
		}
		b = quickjson.AppendText(b, kind)
	}
	return append(b, ']')
}

// AppendJSON implements Body.
func (a *ChannelLinkArgs) AppendJSON(b []byte) []byte { return appendMarshalled(b, "", a) }

// AppendJSON implements Body.
func (a *ChannelFDArgs) AppendJSON(b []byte) []byte { return appendMarshalled(b, "", a) }
