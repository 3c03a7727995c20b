package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/shs"
)

// newPolicy builds "policy explain".
func newPolicy(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Ask the server's rules",
		Args:  exactly(0),
		RunE:  func(*cobra.Command, []string) error { return usagef("policy needs a verb: explain") },
	}
	ask := struct {
		Key  shs.PublicKey `json:"key"`
		Verb string        `json:"verb"`
		Name string        `json:"name,omitempty"`
		From string        `json:"from,omitempty"`
	}{}
	explain := &cobra.Command{
		Use:   "explain KEY VERB [NAME]",
		Short: "Say whether a key may do something, and which line says so",
		Long: `Explain asks the rules in force whether KEY may see, talk to or own NAME, as KEY
writes it; or is an administrator (VERB is admin, without a NAME). It prints yes or
no and the rule that decided, and ends with 0 for yes and 5 for no. It is for
administrators.`,
		Example: "  sbctl --admin policy explain @7MG1….ed25519 talk org.example.echo",
		Args:    between(2, 3),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if ask.Key, err = parseKey(args[0]); err != nil {
				return err
			}
			ask.Verb = args[1]
			if (ask.Verb == "admin") != (len(args) == 2) {
				return usagef("usage: %s", cmd.UseLine())
			}
			if len(args) == 3 {
				ask.Name = args[2]
			}
			var said struct {
				Allowed bool   `json:"allowed"`
				Rule    string `json:"rule"`
			}
			err = a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return aboutPeer(c.Call(ctx, "policy.explain", &ask, &said))
			})
			if err != nil {
				return err
			}
			word := map[bool]string{true: "yes", false: "no"}[said.Allowed]
			if _, err := fmt.Fprintf(a.out, "%s: %s\n", word, term.Escape(said.Rule)); err != nil {
				return err
			}
			if !said.Allowed {
				return quiet{exitNotAllowed}
			}
			return nil
		},
	}
	explain.Flags().StringVar(&ask.From, "from", "net", "where it comes from: `net` or unix")
	cmd.AddCommand(explain)
	return cmd
}

// quiet is an exit code of which all was said.
type quiet struct{ code int }

func (q quiet) Error() string { return "" }
