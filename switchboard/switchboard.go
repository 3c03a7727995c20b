// Package switchboard is the server: one place where programs meet.
//
// A peer dials a well-known socket, proves an Ed25519 key by Secret Handshake,
// may claim names, asks who is here, is told who comes and goes, and opens
// channels to others by name; the server relays a channel's bytes without
// looking at them. PROTOCOL.md is the contract.
//
// The path of a connection, to be read in server.go, session.go, lane.go,
// methods.go and connect.go, in this order:
//
//	Serve accepts and starts a goroutine for the connection
//	→ the handshake runs under one deadline, admit decides on the proven key
//	→ the first byte picks a yamux session or a single lane
//	→ each lane reads one packet: a channel begins, or control calls follow
//	→ a control call is answered from the method table
//	→ connect resolves the name, offers the channel to its owner, relays
//
// What a peer may do says the Policy, which SetPolicy replaces while the server
// runs (rights.go); what it has done is noted in the Audit.
//
// When a session ends it gives back its names, resets its channels, waits for
// its goroutines and logs one line.
//
// Goroutines: one per listener; one per connection; on yamux two for the
// session and one per lane; one per control lane's reader and writer; one per
// watch; one more per relayed channel. Serve returns after the last of them.
package switchboard

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// Config is the configuration of a Server. It is copied by New. The zero value
// of each field but Key works and is closed: without a Policy nobody is
// admitted over TCP.
type Config struct {
	// Key is the server's identity.
	Key shs.PrivateKey
	// NetworkKey is the network that the server belongs to; zero is
	// shs.DefaultNetworkKey.
	NetworkKey shs.NetworkKey
	// Policy says who is admitted and who may do what. Nil is that of the zero
	// PolicyConfig. Without a list of keys in it Serve refuses to serve a TCP
	// listener with ErrNoPolicy. Server.SetPolicy replaces it.
	Policy *Policy
	// Peers are the files that the calls peers and invites of administrators change.
	// Nil: there are no such calls.
	Peers *PeerFiles
	// Reload reads again what the Policy was made of and calls SetPolicy, as SIGHUP
	// does; its error says what was wrong and that nothing has changed. It is called
	// from many goroutines, and not while a lock of the Server is held. Nil: after a
	// change of Peers the Server reads these files by itself.
	Reload func(context.Context) error
	// Version is what whoami reports as the server's version.
	Version string
	// Limits bound what peers may hold; zero fields take the defaults.
	Limits Limits
	// DirectKinds are the kinds of direct links to which channels may move. Nil
	// is all of them, an empty list none. See ParseKinds.
	DirectKinds []channel.Kind
	// Direct, if set, says of each channel which of DirectKinds it may have, and
	// is asked again when a session adopts a channel that has moved. It may be
	// called from many goroutines at once, must return soon and must not call
	// the Server.
	Direct func(DirectQuery) DirectGrant
	// AdvertiseHost is where other machines reach callees that run on the
	// server's own. If it is not set, that is where a caller has reached the
	// server. See ParseAdvertise.
	AdvertiseHost netip.Addr
	// DrainTimeout is how long open channels may go on after Serve's context
	// has ended; those that are left after a third of it are ended one after the
	// other. Default 30 s.
	DrainTimeout time.Duration
	// Unmonitored has shs.Conn.Unmonitor called with 0 on every connection. It is for a
	// program that is nothing but a server, for its goroutines are all brief.
	Unmonitored bool
	// Audit is the log of who did what. Nil is none.
	Audit *Audit
	// Log receives the server's records. Nil discards them.
	Log *slog.Logger
}

// Limits are the bounds on what a peer may hold (PROTOCOL.md §8). A zero
// field takes the default in brackets.
type Limits struct {
	// Admission is of connections that have not logged in, and of their sources.
	Admission Admission

	Sessions        int // of all peers together [4096, or a third of the descriptors beyond 64 if that is less]; over it a login is refused
	SessionsPerKey  int // [64]; over it a login is refused
	Lanes           int // per session, both directions [1024]; over it a yamux stream is reset
	Calls           int // calls and streams in flight per session [64]; over it busy
	Watches         int // per session [16]; over it quota
	WatchEvents     int // waiting for one watch [256]; over it lagged
	WatchBytes      int // waiting for one watch [256 KiB]; over it lagged
	WatchLags       int // of one watch within a minute [3]; with so many it ends, quota
	Offers          int // pending at one callee [64]; a connect over it waits, then busy
	OffersPerCaller int // of these from one key [8]; likewise
	NamesPerKey     int // owned and waited for [16]; over it quota
	WaitersPerName  int // [64]; over it quota
	NamesPerTenant  int // owned [1024]; over it quota
	CallRate        int // calls per second and key [2000]; over it rate_limited
	CallBurst       int // calls at once and key [4000]; likewise
	LaneBacklog     int // yamux lanes that a session has opened and nobody has looked at [64]; over it the stream is reset
	OpenRate        int // lanes that a session opens per second [2000]; over it they wait
	OpenBurst       int // lanes opened at once [512]; likewise
	EarlyResets     int // of 1000 lanes that a session opens, those that it resets before anybody looks at them [500]; over it the session ends with enhance_calm
	ResetRate       int // yamux resets by a session per second [500]; likewise
	ResetBurst      int // resets at once [1024]; likewise
	PingRate        int // yamux pings by a session per second [4]; likewise
	PingBurst       int // pings at once [16]; likewise
	UpdateRate      int // window updates by a session per second, and at once [20000]; likewise
	Held            int // bytes of memory that wait for the sessions of one key to take them, or were sent by it and not yet taken [64 MiB]; over it its fullest lane is reset
	HeldTotal       int // likewise for all keys together [1 GiB, or a quarter of the memory that the process may use if that is less]; over it that of the key for which most is held
	Window          int // bytes that a peer may send ahead on a yamux lane [256 KiB], from that to 1 MiB; more ends the session
	Attempts        int // pending at direct links, of one caller's key [16]; over it busy
	Passed          int // sockets passed to a session that it may not have taken [4]; over it no link of the kind fd
	PassedTotal     int // to all sessions [256]; likewise
	Moved           int // channels that have moved, of a session [1024]; over it no direct link, and none is adopted
	Invites         int // outstanding [32]; over it quota
	RedeemRate      int // invites redeemed from one source per minute [5]; over it rate_limited
	ByteRate        int // bytes per second that the sessions of one key may send over the relay [no bound]; over it they wait

	KeepAlive    time.Duration // silence on a yamux session after which its peer is pinged [17 s]
	DeadAfter    time.Duration // silence after which it ends [45 s]
	WriteTimeout time.Duration // for a peer to take a piece of what is written [10 s]; over it its session ends
	OpenTimeout  time.Duration // for a connect to be answered, if it does not say [10 s]; over it timeout
	AttemptLife  time.Duration // of an attempt at a direct link, while which it counts [15 s]
	DirectLease  time.Duration // for which an end of a channel that has moved may be without a session [1 min]; over it the channel ends
	ChannelStall time.Duration // how long bytes of a relayed channel may wait while none moves [no bound]; over it reset, quota

	// NameHold is how long a name whose session has ended, and that nobody waits
	// for, may be claimed by the same key alone; another's claim is name_taken. 0,
	// the default, is not at all.
	NameHold time.Duration

	// Rates are further limits of single methods, by the method's name, for each
	// key: over one it is rate_limited. There are none by default. A rate= on a
	// key's line takes the place of that of "connect".
	Rates map[string]Rate

	// What is above is for peers of the level trusted; these say what differs for
	// the others. Zero fields of Basic are those of PROTOCOL.md §8, of Untrusted
	// half of these, of Verified those of trusted, but for 16 times the lanes and 8
	// times the bytes held.
	Untrusted, Basic, Verified Quota
}

// Times that are part of the contract (PROTOCOL.md §2, §3, §6).
const (
	handshakeTimeout   = 5 * time.Second
	firstByteTimeout   = 30 * time.Second
	firstPacketTimeout = 10 * time.Second
	writeTimeout       = 10 * time.Second
	keepAlive          = 17 * time.Second // a little after the peers': then their pings serve both sides
	deadAfter          = 45 * time.Second
	lingerTimeout      = 5 * time.Second // for a peer to end a lane that we have ended
	goodbyeTimeout     = time.Second
	noticeTimeout      = 2 * time.Second        // for a peer to take a channel.close
	revokeTimeout      = 500 * time.Millisecond // for a revoked peer to hear of its moved channels
	drainTimeout       = 30 * time.Second
	attemptLife        = 15 * time.Second
	directLease        = control.DefaultLeaseMS * time.Millisecond
)

// Errors of New and Serve.
var (
	// ErrNoPolicy says that a TCP listener was given without a Policy that lists
	// keys, be it none.
	ErrNoPolicy = errors.New("switchboard: a TCP listener needs a policy with an authorized_peers list")
	// ErrNoKey says that Config.Key is missing.
	ErrNoKey = errors.New("switchboard: the server needs a key")
	// ErrNoChannel says that there is no such channel.
	ErrNoChannel = errors.New("switchboard: no such channel")
	// ErrServed says that Serve was called a second time.
	ErrServed = errors.New("switchboard: Serve may be called once")
)

// withDefaults fills in the fields that are zero.
func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		p *int
		n int
	}{
		{&l.SessionsPerKey, 64}, {&l.Lanes, 1024}, {&l.Calls, 64},
		{&l.Watches, 16}, {&l.WatchEvents, 256}, {&l.WatchBytes, 256 << 10}, {&l.WatchLags, 3},
		{&l.Offers, 64}, {&l.OffersPerCaller, 8}, {&l.NamesPerKey, 16}, {&l.WaitersPerName, 64}, {&l.NamesPerTenant, 1024},
		{&l.CallRate, 2000}, {&l.CallBurst, 4000}, {&l.LaneBacklog, 64},
		{&l.OpenRate, 2000}, {&l.OpenBurst, 512}, {&l.EarlyResets, 500}, {&l.ResetRate, 500}, {&l.ResetBurst, 1024},
		{&l.PingRate, 4}, {&l.PingBurst, 16}, {&l.UpdateRate, 20_000}, {&l.Held, 64 << 20},
		{&l.Window, 256 << 10}, {&l.Attempts, 16}, {&l.RedeemRate, redeemsPerMinute},
		{&l.Passed, 4}, {&l.PassedTotal, 256}, {&l.Moved, 1024}, {&l.Invites, 32},
	} {
		if *f.p == 0 {
			*f.p = f.n
		}
	}
	for _, f := range []struct {
		p *time.Duration
		d time.Duration
	}{
		{&l.KeepAlive, keepAlive}, {&l.DeadAfter, deadAfter}, {&l.WriteTimeout, writeTimeout},
		{&l.OpenTimeout, control.DefaultTimeoutMS * time.Millisecond}, {&l.AttemptLife, attemptLife}, {&l.DirectLease, directLease},
	} {
		if *f.p == 0 {
			*f.p = f.d
		}
	}
	return l
}
