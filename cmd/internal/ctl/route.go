package ctl

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/shs"
)

// route is which way a channel may go, and to whom: the flags of the verbs that
// open one.
type route struct {
	relayOnly  bool
	directOnly bool
	kinds      string
	sealed     bool
	verbose    bool
	peer       string
	pins       string

	key shs.PublicKey // of peer

	mu      sync.Mutex
	vouched shs.PublicKey // of whom was said last that the key is the server's word
}

const routeHelp = `
A channel begins at the server. One that lives for a while moves to a direct
link between the two ends, where that is possible: nobody notices, and the
server sees no more of it. --relay-only keeps it at the server, which hides your
address; --direct-only fails (exit 8) rather than send a byte over the server.

With --sealed the server cannot read the channel either way, if the key at the
other end is the right one: --peer KEY says which, --pins FILE remembers the one
that a name had first, and else it is the server's word, and stderr says so.`

// addTo adds the flags to a verb.
func (r *route) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&r.relayOnly, "relay-only", false, "keep the channel at the server")
	f.BoolVar(&r.directOnly, "direct-only", false, "let no byte go over the server")
	f.StringVar(&r.kinds, "direct", "", "the `KINDS` of direct links to try: fd, unix, net, or more with a comma")
	f.BoolVar(&r.sealed, "sealed", false, "encrypt the channel from end to end")
	f.StringVar(&r.peer, "peer", "", "the other end must have this public `KEY`, as in @….ed25519")
	f.StringVar(&r.pins, "pins", "", "with --sealed: the `FILE` that remembers whose key was behind which name")
}

// config checks the flags, and sets what they say about all channels of a client.
func (r *route) config(cfg *client.Config) (err error) {
	switch {
	case r.relayOnly && r.directOnly:
		return usagef("--relay-only and --direct-only are opposites: give one of them")
	case r.relayOnly && r.kinds != "":
		return usagef("--direct says which links to try, and --relay-only to try none: give one of them")
	case r.pins != "" && !r.sealed:
		return usagef("--pins is for sealed channels: add --sealed, or give --peer")
	case r.relayOnly:
		cfg.Direct = client.DirectNever
	case r.directOnly:
		cfg.Direct = client.DirectRequire
	}
	if r.peer != "" {
		if r.key, err = shs.ParsePublicKey(r.peer); err != nil {
			return usagef("--peer: %w", err)
		}
		if r.key.IsZero() { // the library takes it for "anybody"
			return usagef("--peer: all zeros are not a key")
		}
	}
	cfg.Pins = r.pins
	if r.kinds == "" {
		return nil
	}
	for kind := range strings.SplitSeq(r.kinds, ",") {
		switch k := client.LinkKind(kind); k {
		case client.LinkFD, client.LinkUnix, client.LinkNet:
			cfg.DirectKinds = append(cfg.DirectKinds, k)
		default:
			return usagef("--direct %.64q: want fd, unix, net, or more with a comma", r.kinds)
		}
	}
	return nil
}

// options are those of one channel.
func (r *route) options(told *moves) client.OpenOptions {
	opts := client.OpenOptions{Sealed: r.sealed, Key: r.key}
	if r.verbose {
		opts.OnDirect = told.tell
	}
	return opts
}

// vouch says whose key a sealed channel has on the server's word alone, once for
// each key.
func (r *route) vouch(a *app, name string, conn duplex) {
	keyed, ok := conn.(interface{ RemoteKey() shs.PublicKey })
	if !ok || !r.sealed || !r.key.IsZero() || r.pins != "" && !strings.HasPrefix(name, ":") {
		return
	}
	key := keyed.RemoteKey()
	r.mu.Lock()
	known := r.vouched == key
	r.vouched = key
	r.mu.Unlock()
	if !known {
		fmt.Fprintf(a.log, "sbctl: %s: sealed for %s, which is only the server's word: --peer KEY checks it, --pins FILE would remember it\n",
			term.Escape(name), key)
	}
}

// moves tells on stderr what became of one channel's tries to leave the server,
// the same thing once. Safe for concurrent use.
type moves struct {
	a    *app
	r    *route
	name string

	mu    sync.Mutex
	moved bool
	last  string // what was told last
}

// tell takes one try.
func (m *moves) tell(at client.Attempt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at.Err != nil {
		m.sayLocked("relayed: " + moveText(at.Err))
		return
	}
	m.moved = true
	m.sayLocked(fmt.Sprintf("moved to a direct link (%s) in %v", at.Kind, at.Took.Round(10*time.Microsecond)))
}

// end tells why the channel, which is over, has not moved.
func (m *moves) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.r.verbose || m.moved || m.last != "":
	case m.r.relayOnly:
		m.sayLocked("relayed: you asked so")
	case m.a.singleLane:
		m.sayLocked("relayed: a connection that is one lane does not move")
	default:
		m.sayLocked("relayed: too short to move")
	}
}

func (m *moves) sayLocked(text string) {
	if text == m.last {
		return
	}
	m.last = text
	fmt.Fprintf(m.a.log, "sbctl: %s: %s\n", term.Escape(m.name), term.Escape(text))
}

// moveText is why a channel did not move.
func moveText(err error) string {
	if e, ok := errors.AsType[*client.Error](err); ok && e.Message != "" {
		return e.Message
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
