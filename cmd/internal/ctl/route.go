package ctl

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// route is which way a channel may go: the flags of the verbs that open one.
type route struct {
	relayOnly  bool
	directOnly bool
	kinds      string
	sealed     bool
	verbose    bool
}

const routeHelp = `
A channel begins at the server. One that lives for a while moves to a direct
link between the two ends, where that is possible: nobody notices, and the
server sees no more of it. --relay-only keeps it at the server, which hides your
address; --direct-only fails (exit 4) rather than send a byte over the server. With
--sealed the server cannot read it either way.`

// addTo adds the flags to a verb.
func (r *route) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&r.relayOnly, "relay-only", false, "keep the channel at the server")
	f.BoolVar(&r.directOnly, "direct-only", false, "let no byte go over the server")
	f.StringVar(&r.kinds, "direct", "", "the `KINDS` of direct links to try: fd, unix, net, or more with a comma")
	f.BoolVar(&r.sealed, "sealed", false, "seal the channel, so that the server cannot read it")
	cmd.MarkFlagsMutuallyExclusive("relay-only", "direct-only")
	cmd.MarkFlagsMutuallyExclusive("relay-only", "direct")
}

// config sets what the flags say about all channels of a client.
func (r *route) config(cfg *client.Config) error {
	switch {
	case r.relayOnly:
		cfg.Direct = client.DirectNever
	case r.directOnly:
		cfg.Direct = client.DirectRequire
	}
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

// options are those of one channel to name.
func (r *route) options(a *app, name string) client.OpenOptions {
	opts := client.OpenOptions{Sealed: r.sealed}
	if r.verbose {
		opts.OnDirect = func(at client.Attempt) { a.tellMove(name, at) }
	}
	return opts
}

// tellMove says on stderr what became of a try to move a channel.
func (a *app) tellMove(name string, at client.Attempt) {
	took := at.Took.Round(10 * time.Microsecond)
	if at.Err != nil {
		reason := strings.ReplaceAll(at.Err.Error(), "\n", "; ")
		fmt.Fprintf(a.log, "sbctl: %s: relayed; no direct link after %v: %s\n", term.Escape(name), took, term.Escape(reason))
		return
	}
	fmt.Fprintf(a.log, "sbctl: %s: moved to a direct link (%s) in %v\n", term.Escape(name), at.Kind, took)
}
