package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/shs"
)

// newKeyRotate builds "key rotate".
func newKeyRotate(a *app) *cobra.Command {
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Put a new key in the place of the one you log in with",
		Long: `Rotate makes a new key, which the old one signs on at the server, with the same
rights, and puts it in the place of the key file; the old one is kept beside it as
FILE.old. Until the overlap is over the server knows both, so that what still runs
with the old key goes on, and what runs with the new one may take its names over.

It is about one server, whose list must have your key. What fails in the middle is
made good by running it again.`,
		Example: "  sbctl key rotate\n  sbctl --key ./plugin.key key rotate --overlap 1h",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.rotate(cmd.Context(), overlap)
		},
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "`TIME` for which the old key stays good, up to 720h")
	return cmd
}

func (a *app) rotate(ctx context.Context, overlap time.Duration) error {
	if overlap < time.Millisecond {
		return usagef("--overlap: want a time from 1ms on")
	}
	path, _, err := a.keyPath(a.keyFile)
	if err != nil {
		return err
	}
	if _, err := shs.LoadKey(path); err != nil {
		return err
	}
	next, err := shs.CreateKey(path + ".next")
	if errors.Is(err, fs.ErrExist) { // of an attempt that failed
		next, err = shs.LoadKey(path + ".next")
	}
	if err != nil {
		return err
	}
	var until time.Time
	err = a.once(ctx, func(ctx context.Context, c *client.Client) (err error) {
		until, err = c.Rotate(ctx, next, overlap)
		return err
	})
	if err != nil {
		return aboutRedeem(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	defer clear(old)
	if err := replaceFile(path+".old", old); err != nil {
		return fmt.Errorf("the server knows the new key, which is in %s.next: %w", path, err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		return fmt.Errorf("the server knows the new key, which is in %s.next: %w", path, err)
	}
	fmt.Fprintf(a.log, "sbctl: the old key is in %s.old and good until %s\n", term.Escape(path), until.Format(time.RFC3339))
	_, err = fmt.Fprintln(a.out, next.Public())
	return err
}
