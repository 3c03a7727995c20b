package ctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/shs"
)

// newKey builds "key new", "key show" and "key rotate".
func newKey(a *app) *cobra.Command {
	key := &cobra.Command{
		Use:   "key",
		Short: "Make a secret key, show its public half, or change it",
		Args:  exactly(0),
		RunE:  func(*cobra.Command, []string) error { return usagef("key needs a verb: new, show or rotate") },
	}
	key.AddCommand(
		&cobra.Command{
			Use:   "new [FILE]",
			Short: "Make a new secret key",
			Long: `New makes a secret key file, readable by you only, and prints the public key:
what others may know, and what a server's authorized_peers lists. Without FILE it
is the key of --key or $SWITCHBOARD_KEY, or else the user's own. A file that is
there is never replaced.`,
			Example: "  sbctl key new\n  sbctl key new ./plugin.key",
			Args:    between(0, 1),
			RunE:    func(_ *cobra.Command, args []string) error { return a.keyNew(args) },
		},
		&cobra.Command{
			Use:   "show [FILE]",
			Short: "Print the public half of a key file",
			Long: `Show prints the public key that belongs to FILE: what others may know, and what a
server's authorized_peers lists. Without FILE it is the key that you log in with;
your own is made on first use.`,
			Example: "  sbctl key show >> authorized_peers",
			Args:    between(0, 1),
			RunE:    func(_ *cobra.Command, args []string) error { return a.keyShow(args) },
		},
		newKeyRotate(a),
	)
	return key
}

// keyFileOf is the file that "key" is about: its argument, or the one to log in
// with.
func (a *app) keyFileOf(args []string) (path string, own bool, err error) {
	given := a.keyFile
	if len(args) == 1 {
		given = args[0]
	}
	return a.keyPath(given)
}

func (a *app) keyNew(args []string) error {
	path, _, err := a.keyFileOf(args)
	if err != nil {
		return err
	}
	key, err := createKey(path)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is not replaced (sbctl key show prints its public key)", path)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, key.Public())
	return err
}

func (a *app) keyShow(args []string) error {
	path, own, err := a.keyFileOf(args)
	if err != nil {
		return err
	}
	key, err := a.loadKey(path, own)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, key.Public())
	return err
}

// createKey makes a key file, and its directory if that is missing.
func createKey(path string) (shs.PrivateKey, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return shs.PrivateKey{}, fmt.Errorf("making the key's directory: %w", err)
	}
	return shs.CreateKey(path)
}
