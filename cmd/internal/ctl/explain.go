package ctl

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/shs"
)

// newPolicy builds "policy".
func newPolicy(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Ask the server's rules",
		Args:  exactly(0),
		RunE:  func(*cobra.Command, []string) error { return usagef("policy needs a verb: explain") },
	}
	cmd.AddCommand(newExplain(a))
	return cmd
}

// newExplain builds "policy explain".
func newExplain(a *app) *cobra.Command {
	var asJSON bool
	ask := struct {
		Key  shs.PublicKey `json:"key"`
		Verb string        `json:"verb"`
		Name string        `json:"name,omitempty"`
		From string        `json:"from,omitempty"`
	}{}
	cmd := &cobra.Command{
		Use:   "explain KEY VERB [NAME]",
		Short: "Say whether a key may do something, and which line says so",
		Long: `Explain asks the rules in force whether KEY may see, talk to or own NAME, as KEY
writes it; or is an administrator (VERB is admin, without a NAME). It prints yes or
no and the rule that decided; below it, where the rule is that of a level, or that there
is none, the line of authorized_peers and the section of the configuration that
made it so; of a peer on this machine without a line, that such are refused, and
the setting that says so. It ends with 0 for yes and 5 for no. It is for
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
			var said explanation
			err = a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return aboutPeer(c.Call(ctx, "policy.explain", &ask, &said))
			})
			if err != nil {
				return err
			}
			if asJSON {
				err = a.printJSON(said)
			} else {
				_, err = io.WriteString(a.out, said.text())
			}
			if err != nil {
				return err
			}
			if !said.Allowed {
				return quiet{exitNotAllowed}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&ask.From, "from", "net", "where it comes from: `net` or unix")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// explanation is the server's answer.
type explanation struct {
	Allowed bool     `json:"allowed"`
	Rule    string   `json:"rule"`
	Because []string `json:"because,omitempty"`
}

// text is the answer for people, with what is behind it in lines of their own.
func (e explanation) text() string {
	text := map[bool]string{true: "yes", false: "no"}[e.Allowed] + ": " + term.Escape(e.Rule) + "\n"
	for _, line := range e.Because {
		text += "  " + term.Escape(line) + "\n"
	}
	return text
}

// quiet is an exit code of which all was said.
type quiet struct{ code int }

func (q quiet) Error() string { return "" }
