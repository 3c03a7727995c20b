package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/internal/paths"
	"github.com/cad2f06c/switchboard/shs"
)

// newInvite builds "invite".
func newInvite(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Let a new key in with one pasted code",
		Args:  exactly(0),
		RunE: func(*cobra.Command, []string) error {
			return usagef("invite needs a verb: new, accept, list or remove")
		},
	}
	cmd.AddCommand(newInviteNew(a), newInviteAccept(a), newInviteList(a), newInviteRemove(a))
	return cmd
}

func newInviteNew(a *app) *cobra.Command {
	var r rights
	var ttl time.Duration
	var comment, addresses string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make an invite and print its code",
		Long: `New prints a code. Who pastes it into "sbctl invite accept" on another machine
enters a key of their own into the server's list, once, with the rights given here.
The code is a secret until then: the server keeps only what it needs to know it
again. It is for administrators.`,
		Example: "  sbctl --admin invite new --own 'org.example.*' --talk '**' --ttl 2h --comment 'the build machine'",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			arg := map[string]any{"ttl_ms": ttl.Milliseconds()}
			for name, value := range map[string]string{"own": r.own, "see": r.see, "talk": r.talk, "level": r.level, "tenant": r.tenant,
				"comment": comment, "addresses": addresses} {
				if value != "" {
					arg[name] = value
				}
			}
			var made struct {
				Code    string `json:"code"`
				Expires int64  `json:"expires"`
			}
			err := a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return aboutPeer(c.Call(ctx, "invites.new", arg, &made))
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(a.log, "sbctl: good once, until %s; on the other machine: sbctl invite accept CODE\n",
				time.UnixMilli(made.Expires).Format(time.RFC3339))
			_, err = fmt.Fprintln(a.out, term.Escape(made.Code))
			return err
		},
	}
	r.flags(cmd)
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "`TIME` for which it is good, up to 168h")
	cmd.Flags().StringVar(&comment, "comment", "", "a `TEXT` for people, at the end of the peer's line")
	cmd.Flags().StringVar(&addresses, "at", "", "`ADDRESS` at which the other machine finds the server (default: where it listens)")
	return cmd
}

func newInviteList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the invites that are outstanding",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all struct {
				Invites []peer `json:"invites"`
			}
			err := a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return aboutPeer(c.Call(ctx, "invites.list", nil, &all))
			})
			switch {
			case err != nil:
				return err
			case asJSON:
				return a.printJSON(all.Invites)
			}
			return a.printPeers(all.Invites)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newInviteRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "remove KEY",
		Short: "Take an invite back",
		Long:  `Remove makes the code of an invite worthless. KEY is the invite's, as "invite list" prints it.`,
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseKey(args[0])
			if err != nil {
				return err
			}
			return a.once(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return aboutPeer(c.Call(ctx, "invites.remove", peerChange{Key: key}, nil))
			})
		},
	}
}

func newInviteAccept(a *app) *cobra.Command {
	var file string
	var force bool
	cmd := &cobra.Command{
		Use:   "accept CODE",
		Short: "Enter your key at the server that a code comes from",
		Long: `Accept redeems CODE, or the code on stdin if that is "-": your key is in the
server's list then, with the rights that go with the code. Your key is made if it is
missing. The server's address is written where sbctl and the client libraries look
(see sbctl --help), unless one is there already: --force replaces it. It is printed,
too, for $SWITCHBOARD_ADDRESS.`,
		Example: "  sbctl invite accept sbi1.AJmF…\n  sbctl invite accept - < code",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.inviteAccept(cmd.Context(), args[0], file, force)
		},
	}
	cmd.Flags().StringVar(&file, "address-file", "", "write the address to `FILE`")
	cmd.Flags().BoolVar(&force, "force", false, "replace an address that is there")
	return cmd
}

// maxCode is more than the longest code, in bytes.
const maxCode = 16 << 10

func (a *app) inviteAccept(ctx context.Context, code, file string, force bool) error {
	if code == "-" {
		text, err := io.ReadAll(io.LimitReader(a.in, maxCode))
		if err != nil {
			return err
		}
		code = string(text)
	}
	invite, err := client.ParseInvite(code)
	if err != nil {
		return usageError{err}
	}
	if file == "" {
		if file, err = defaultAddressFile(); err != nil {
			return err
		}
	}
	// Before the code is used up.
	old, err := os.ReadFile(file)
	if err == nil && !force && strings.TrimSpace(string(old)) != invite.Address {
		return failure{exitRefused, fmt.Errorf("%s has the address of another server; --force replaces it, --address-file names another place", file)}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := a.userKey()
	if err != nil {
		return err
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	now, err := a.redeem(ctx, code, invite, key)
	if err != nil {
		return err
	}
	if err := writeAddress(file, invite.Address); err != nil {
		return fmt.Errorf("the key is entered, and the address cannot be written: %w; it is %s", err, invite.Address)
	}
	what := "is entered"
	if !now {
		what = "is admitted already"
	}
	fmt.Fprintf(a.log, "sbctl: %s %s; the server's address is in %s\n", key.Public(), what, term.Escape(file))
	_, err = fmt.Fprintln(a.out, term.Escape(invite.Address))
	return err
}

// redeem uses a code, and reports whether it did. One that is used up may have been
// so by ourselves, before a connection broke: then we can log in.
func (a *app) redeem(ctx context.Context, code string, invite client.Invite, key shs.PrivateKey) (now bool, err error) {
	_, err = client.Redeem(ctx, code, client.Config{Key: key})
	if !errors.Is(err, client.ErrInviteRefused) {
		if _, answered := asClientError(err); err != nil && !answered && ctx.Err() == nil {
			return false, failure{exitNoServer, err}
		}
		return true, aboutRedeem(err)
	}
	c, lerr := client.Dial(ctx, client.Config{Address: invite.Address, NetworkKey: invite.NetworkKey, Key: key, NoReconnect: true})
	if lerr != nil {
		return false, failure{exitNotFound, err}
	}
	return false, c.Close()
}

func aboutRedeem(err error) error {
	e, ok := asClientError(err)
	if !ok {
		return err
	}
	return failure{adviceOf(e.Code).exit, errors.New(e.Message)}
}

func defaultAddressFile() (string, error) {
	set, err := paths.Default(os.Getenv, os.Geteuid())
	if set.Address == "" {
		return "", fmt.Errorf("finding a place for the address: %w (or give --address-file)", err)
	}
	return set.Address, nil
}

// writeAddress replaces an address file in one step.
func writeAddress(path, text string) error {
	return replaceFile(path, []byte(text+"\n"))
}

// replaceFile puts a file of mode 0600 in place, on the disk when it returns.
func replaceFile(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
