package channel

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/cad2f06c/switchboard/internal/alarm"
	"github.com/cad2f06c/switchboard/internal/sock"
	"github.com/cad2f06c/switchboard/shs"
)

// Kind is a kind of direct link.
type Kind string

// The kinds, in order of preference (PROTOCOL.md §10).
const (
	FD   Kind = "fd"   // a socketpair of the server's, one end passed to each peer
	Unix Kind = "unix" // a Unix socket of the callee's
	Net  Kind = "net"  // a TCP port of the callee's
)

// Times of an attempt, the same on all systems.
const (
	linkLife     = 15 * time.Second       // of a listener, whoever comes
	linkShake    = 2 * time.Second        // a handshake at the listener
	linkShakes   = 4                      // handshakes at a listener at a time
	linkRetry    = 50 * time.Millisecond  // after an accept that failed
	unixDialTime = 300 * time.Millisecond // to connect
	netDialTime  = 2 * time.Second        // to connect
	dialShake    = 3 * time.Second        // the caller's handshake: strangers may be ahead of it, for linkShake

	keepIdle    = 15 * time.Second // of silence on a TCP link, then it is probed
	keepEvery   = 5 * time.Second
	keepCount   = 2
	linkTimeout = 10 * time.Second // for bytes on a TCP link that are not acknowledged
)

var (
	errAttempt  = errors.New("an attempt needs Key and Peer")
	errRole     = errors.New("the callee listens and the caller dials")
	errKind     = errors.New("this kind is neither listened for nor dialled")
	errUID      = errors.New("another user is at the other end of the socket")
	errStranger = errors.New("the key is not the caller's")
	errClaimed  = errors.New("another link was first")
	errOver     = errors.New("the channel is over")
)

// Attempt is one try of both ends of a channel to make a direct link between
// them. The callee calls Listen, the caller Dial; the fields say the same at
// both, each from its side. It is not changed by its methods, which are safe for
// concurrent use. A secret serves one attempt: neither end may use it again.
type Attempt struct {
	Network shs.NetworkKey // zero means shs.DefaultNetworkKey
	Key     shs.PrivateKey // our own
	Channel ID
	Secret  [32]byte // known to both ends and the server
	Peer    shs.PublicKey
	Caller  bool         // we are the caller
	UID     uint32       // who must be at the other end of a Unix socket
	Clock   *alarm.Clock // for what is pending while the link lives; nil: the runtime's
}

// check refuses an attempt that says too little, or the other role.
func (a *Attempt) check(caller bool) error {
	switch {
	case a.Key.IsZero(), a.Peer.IsZero():
		return errAttempt
	case a.Caller != caller:
		return errRole
	}
	return nil
}

// config is that of a handshake over a link of one kind, with the purpose key of
// the attempt in place of the network's: boxed on TCP; in the clear on a Unix
// socket, under the key of plain mode that the attempt's makes of both users, so
// that no handshake of one kind can be carried to the other (PROTOCOL.md §10).
func (a *Attempt) config(kind Kind) *shs.Config {
	cfg := &shs.Config{Key: a.Key}
	network := a.Network
	if network.IsZero() {
		network = shs.DefaultNetworkKey()
	}
	caller, callee := a.Peer, a.Key.Public()
	if a.Caller {
		caller, callee = callee, caller
		cfg.ServerKey = a.Peer
	}
	purpose := network.Direct(a.Secret, a.Channel, caller, callee)
	if kind == Unix {
		ours, theirs := uint32(os.Geteuid()), a.UID
		if !a.Caller {
			ours, theirs = theirs, ours
		}
		cfg.PlainKey = purpose.Plain(ours, theirs)
		// A server answers box mode as well: under a key that nobody has.
		rand.Read(cfg.NetworkKey[:])
	} else {
		cfg.NetworkKey = purpose
	}
	return cfg
}

// failed says which attempt an error is of.
func failed(what string, err error) error { return fmt.Errorf("channel: %s: %w", what, err) }

// tune makes the kernel notice that the other end of a TCP link is gone without
// a word: after 10 s with bytes under way, 15 s if they wait for its window, after
// 25 s without any. One that answers and does not read may take its time. A
// connection that refuses an option still works. Package net has set TCP_NODELAY.
func (a *Attempt) tune(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepEvery, Count: keepCount})
	sock.Attend(tcp, linkTimeout, func(d time.Duration, f func()) {
		if a.Clock != nil {
			a.Clock.AfterFunc(d, f)
		} else {
			time.AfterFunc(d, f)
		}
	})
}
