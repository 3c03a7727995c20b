package ctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/shs"
)

// peer is a line of authorized_peers, as the server lists it.
type peer struct {
	Key     shs.PublicKey `json:"key"`
	Options []string      `json:"options"`
	Comment string        `json:"comment,omitempty"`
	Line    int           `json:"line"`
	Revoked bool          `json:"revoked,omitempty"`
}

// shown is a peer and what the rules in force make of it.
type shown struct {
	peer

	RevokedFor string `json:"revoked_for,omitempty"`
	Admitted   bool   `json:"admitted"`
	Level      string `json:"level,omitempty"`
	Tenant     string `json:"tenant,omitempty"`
	Rule       string `json:"rule"`
}

// peerChange is the argument of the calls that change a line.
type peerChange struct {
	Key     shs.PublicKey `json:"key"`
	Options []string      `json:"options,omitempty"`
	Comment string        `json:"comment,omitempty"`
}

// peerBook is who is asked about peers: a server, or a file.
type peerBook interface {
	list(ctx context.Context) ([]peer, error)
	show(ctx context.Context, key shs.PublicKey) (shown, error)
	change(ctx context.Context, verb string, c peerChange) error
}

// rights are the flags of what a peer may do.
type rights struct{ own, see, talk, level, tenant string }

func (r *rights) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.own, "own", "", "`PATTERNS` of names that it may own, between commas")
	f.StringVar(&r.see, "see", "", "`PATTERNS` of names that it may see")
	f.StringVar(&r.talk, "talk", "", "`PATTERNS` of names that it may connect to")
	f.StringVar(&r.level, "level", "", "`LEVEL`: untrusted, basic, trusted or verified")
	f.StringVar(&r.tenant, "tenant", "", "`TENANT` that it lives in")
}

const peersHelp = `Peers changes the server's authorized_peers, which says who may come over TCP and
what each may do. The server writes the file itself, in one step; comments, order
and all other lines stay; what changes is in force when the command returns.

It is for administrators: a peer whose line says "admin", or with --admin the
server's own key. With --file PATH the verbs change that file, and revoked_peers
beside it, without a server; a running one notices.`

// newPeers builds "peers".
func newPeers(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "Say who may come, and who may not any more",
		Long:  peersHelp,
		Example: `  sbctl --admin peers list
  sbctl --admin peers add @7MG1….ed25519 --own 'org.example.*' --talk '**' --comment build
  sbctl --admin peers set @7MG1….ed25519 --level basic --own ''
  sbctl --admin peers revoke @7MG1….ed25519 --comment 'laptop stolen'`,
		Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			return usagef("peers needs a verb: list, show, add, set, remove or revoke")
		},
	}
	cmd.PersistentFlags().StringVar(&file, "file", "", "change this `FILE` of peers, without a server")
	with := func(ctx context.Context, do func(context.Context, peerBook) error) error {
		if file != "" {
			ctx, cancel := a.limit(ctx)
			defer cancel()
			return do(ctx, fileBook(file))
		}
		return a.once(ctx, func(ctx context.Context, c *client.Client) error { return do(ctx, serverBook{c}) })
	}
	cmd.AddCommand(newPeersList(a, with), newPeersShow(a, with), newPeersRemove(with), newPeersRevoke(with),
		newPeersEdit(with, "add", "Add a key", `Add puts a line for KEY at the end of the file. Without --level it is that of listed
peers, untrusted unless the server's configuration says otherwise; without --own,
--see and --talk it has the rights of its level.`),
		newPeersEdit(with, "set", "Change what a key may do", `Set changes options on the line of KEY: those that are given. An empty value takes
one away.`))
	return cmd
}

// withBook runs something with who is to be asked.
type withBook func(context.Context, func(context.Context, peerBook) error) error

func newPeersEdit(with withBook, verb, short, long string) *cobra.Command {
	var r rights
	var rate, comment string
	var admin bool
	cmd := &cobra.Command{
		Use: verb + " KEY", Short: short, Long: long, Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseKey(args[0])
			if err != nil {
				return err
			}
			c := peerChange{Key: key, Comment: comment}
			for _, o := range []struct{ name, value string }{{"own", r.own}, {"see", r.see}, {"talk", r.talk}, {"level", r.level}, {"tenant", r.tenant}, {"rate", rate}} {
				if cmd.Flags().Changed(o.name) {
					c.Options = append(c.Options, o.name+"="+o.value)
				}
			}
			switch {
			case admin:
				c.Options = append(c.Options, "admin")
			case verb == "set" && cmd.Flags().Changed("administrator"):
				c.Options = append(c.Options, "admin=")
			}
			if verb == "set" && len(c.Options) == 0 {
				return usagef("peers set needs what to set: --own, --see, --talk, --level, --tenant, --rate or --administrator")
			}
			return with(cmd.Context(), func(ctx context.Context, b peerBook) error { return aboutPeer(b.change(ctx, verb, c)) })
		},
	}
	r.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&rate, "rate", "", "connects that it may make, as `N/SECONDS`")
	f.BoolVar(&admin, "administrator", false, "it is an administrator")
	if verb == "add" {
		f.StringVar(&comment, "comment", "", "a `TEXT` for people, at the end of the line")
	}
	return cmd
}

func newPeersRemove(with withBook) *cobra.Command {
	return &cobra.Command{
		Use:   "remove KEY",
		Short: "Take a key off the list",
		Long: `Remove takes the line of KEY away. Its sessions over TCP end. The key may be added
again; one that was stolen is to be revoked.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseKey(args[0])
			if err != nil {
				return err
			}
			return with(cmd.Context(), func(ctx context.Context, b peerBook) error {
				return aboutPeer(b.change(ctx, "remove", peerChange{Key: key}))
			})
		},
	}
}

func newPeersRevoke(with withBook) *cobra.Command {
	var comment string
	cmd := &cobra.Command{
		Use:   "revoke KEY",
		Short: "Refuse a key from now on, for good",
		Long: `Revoke writes KEY into revoked_peers beside the file: whatever else is said of it,
it is refused on every transport, also after a restart. Its sessions and channels
end within a second; a direct link whose program is cut off from the server ends
within 60 s. There is no verb that undoes it: take the line out by hand.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseKey(args[0])
			if err != nil {
				return err
			}
			return with(cmd.Context(), func(ctx context.Context, b peerBook) error {
				return aboutPeer(b.change(ctx, "revoke", peerChange{Key: key, Comment: comment}))
			})
		},
	}
	cmd.Flags().StringVar(&comment, "comment", "", "a `TEXT` that says why")
	return cmd
}

func newPeersList(a *app, with withBook) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys and what each may do",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), func(ctx context.Context, b peerBook) error {
				all, err := b.list(ctx)
				switch {
				case err != nil:
					return aboutPeer(err)
				case asJSON && all == nil:
					return a.printJSON([]peer{})
				case asJSON:
					return a.printJSON(all)
				}
				return a.printPeers(all)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printPeers prints lines for people.
func (a *app) printPeers(all []peer) error {
	rows := [][]string{{"LINE", "KEY", "OPTIONS", "COMMENT"}}
	for _, p := range all {
		options := strings.Join(p.Options, " ")
		if p.Revoked {
			options = strings.TrimSpace("REVOKED " + options)
		}
		rows = append(rows, []string{fmt.Sprint(p.Line), p.Key.String(), options, p.Comment})
	}
	return term.Table(a.out, a.colour.Head, rows)
}

func newPeersShow(a *app, with withBook) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show KEY",
		Short: "Show the line of a key, and what the server makes of it",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseKey(args[0])
			if err != nil {
				return err
			}
			return with(cmd.Context(), func(ctx context.Context, b peerBook) error {
				p, err := b.show(ctx, key)
				switch {
				case err != nil:
					return aboutPeer(err)
				case asJSON:
					return a.printJSON(p)
				}
				return a.printPeer(p)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) printPeer(p shown) error {
	rows := [][]string{{"key", p.Key.String()}, {"options", strings.Join(p.Options, " ")}, {"comment", p.Comment}}
	switch {
	case p.Revoked:
		rows = append(rows, []string{"revoked", p.RevokedFor})
	case p.Admitted:
		rows = append(rows, []string{"level", p.Level}, []string{"tenant", p.Tenant})
	}
	rows = append(rows, []string{"rule", p.Rule})
	return term.Table(a.out, a.colour.Head, rows)
}

// parseKey reads a public key from the command line.
func parseKey(text string) (shs.PublicKey, error) {
	key, err := shs.ParsePublicKey(text)
	if err == nil {
		err = key.Check()
	}
	if err != nil {
		return key, usagef("key %.80q: %w", text, err)
	}
	return key, nil
}

// aboutPeer words what the table of codes says of names.
func aboutPeer(err error) error {
	e, ok := asClientError(err)
	if !ok {
		return err
	}
	text := e.Message
	if e.Code == client.NotAllowed {
		text += " (--admin logs in with the server's own key)"
	}
	return failure{adviceOf(e.Code).exit, fmt.Errorf("%s", text)}
}
