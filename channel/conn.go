package channel

import (
	"encoding/json"
	"net"

	"github.com/cad2f06c/switchboard/shs"
)

// Info is what an end knows of its channel. The server vouches for all of it
// but Meta, which is the caller's word.
type Info struct {
	ID      ID
	Key     shs.PublicKey   // the other end's proven key
	Session string          // the other end's session, ":17"
	Name    string          // the name or session that was called
	Epoch   uint64          // of the called name; 0 if a session was called
	Names   []string        // callee only: names that the caller's key owns
	Level   string          // callee only: the caller's level
	Meta    json.RawMessage // callee only: what the caller sent along, or nil
	Caller  bool            // this end opened the channel
	Sealed  bool            // the two ends have proven their keys to each other inside; the server cannot read it
}

// Conn is one end of a channel as a net.Conn. It adds to its lane who is at
// the other end. Safe for concurrent use as any net.Conn is.
type Conn struct {
	Lane
	info Info
}

// NewConn makes an end of the channel that lane carries. The Conn owns lane.
func NewConn(lane Lane, info Info) *Conn { return &Conn{Lane: lane, info: info} }

// Info returns what is known of the channel.
func (c *Conn) Info() Info { return c.info }

// RemoteKey returns the public key that the other end has proven to hold.
func (c *Conn) RemoteKey() shs.PublicKey { return c.info.Key }

// Link returns the kind of direct link that the channel is on, or "" while the
// server relays it.
func (c *Conn) Link() Kind { return linkOf(c.Lane) }

// linkOf asks a lane that knows.
func linkOf(l Lane) Kind {
	if l, ok := l.(interface{ Link() Kind }); ok {
		return l.Link()
	}
	return ""
}

// LocalAddr returns this end's place in the channel.
func (c *Conn) LocalAddr() net.Addr {
	if c.info.Caller {
		return Addr{}
	}
	return Addr{Name: c.info.Name}
}

// RemoteAddr returns the other end: its name if it was called by one, and its
// key.
func (c *Conn) RemoteAddr() net.Addr {
	if c.info.Caller {
		return Addr{Name: c.info.Name, Key: c.info.Key}
	}
	return Addr{Key: c.info.Key}
}

// Addr is an end of a channel as a net.Addr.
type Addr struct {
	Name string
	Key  shs.PublicKey // zero for this end
}

// Network returns "switchboard".
func (Addr) Network() string { return "switchboard" }

// String returns the name, the key, or both as "name@key": "org.example.echo"
// followed by "@….ed25519".
func (a Addr) String() string {
	if a.Key.IsZero() {
		return a.Name
	}
	return a.Name + a.Key.String()
}
