package ctl

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/shs"
)

// newAuditVerify builds "audit verify".
func newAuditVerify(a *app) *cobra.Command {
	var server, heads string
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Check the files of an audit log; no server is asked",
		Long: `Verify reads the files of an audit log and checks its chain and its signed heads.
If something is wrong it names the first record that is bad, and the exit code is 1.
Without DIR it is "audit" beside the server's key, where a switchboard keeps it.

Signatures are checked with --server KEY, or else with the key file server.key
beside DIR (--key names another).

A chain shows every change but one: records cut off at its end, with all that
follow. Against that keep heads elsewhere, as "sbctl audit --event head --json"
prints them, and give them with --heads.`,
		Example: "  sbctl audit verify\n  sbctl audit verify /var/lib/switchboard/audit --heads heads.jsonl",
		Args:    between(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := ""
			if len(args) == 1 {
				dir = args[0]
			}
			return a.auditVerify(dir, server, heads)
		},
	}
	cmd.Flags().StringVar(&server, "server", "", "the server's public `KEY`")
	cmd.Flags().StringVar(&heads, "heads", "", "a `FILE` of heads that were kept elsewhere")
	return cmd
}

func (a *app) auditVerify(dir, server, headsFile string) error {
	if dir == "" {
		path, err := a.serverKeyPath()
		if err != nil {
			return err
		}
		dir = filepath.Join(filepath.Dir(path), "audit")
	}
	key, unchecked, err := a.verifyKey(dir, server)
	if err != nil {
		return err
	}
	var held []audit.Head
	if headsFile != "" {
		if held, err = readHeads(headsFile); err != nil {
			return err
		}
	}
	var verify func(msg, sig []byte) bool
	if unchecked == "" {
		verify = func(msg, sig []byte) bool { return key.Verify("audit", sig, msg) }
	}
	report, err := audit.Verify(dir, verify, held...)
	if err == nil && report.Torn { // it may be half written: a log in use is looked at again
		report, err = audit.Verify(dir, verify, held...)
	}
	if err != nil {
		return err
	}
	if f := report.Fault; f != nil {
		return failure{exitOther, fmt.Errorf("record %d is the first that is wrong: %s:%d: %s", f.Seq, filepath.Join(dir, f.File), f.Line, f.Reason)}
	}
	text := fmt.Sprintf("%s: ok; records %d to %d in %d files", dir, report.First, report.Last, report.Files)
	if report.Gaps > 0 {
		text += fmt.Sprintf("; %d gaps, %d records missing, as the log itself says", report.Gaps, report.Missing)
	}
	if unchecked != "" {
		unchecked = "signatures were not checked: " + unchecked
	} else {
		unchecked = fmt.Sprintf("%d signed heads; the %d records behind the last are not signed yet", report.Heads, report.Unsigned)
	}
	_, err = fmt.Fprintf(a.out, "%s\n%s\n", term.Escape(text), term.Escape(unchecked))
	return err
}

// serverKeyPath is where the server's key is: --key, or the standard place.
func (a *app) serverKeyPath() (string, error) {
	if a.keyFile != "" {
		return a.keyFile, nil
	}
	as := *a
	as.admin = true
	path, _, err := as.keyPath("")
	return path, err
}

// verifyKey is the key with which signatures are checked, or why they are not.
func (a *app) verifyKey(dir, server string) (key shs.PublicKey, unchecked string, err error) {
	if server != "" {
		if key, err = shs.ParsePublicKey(server); err != nil {
			return key, "", usagef("--server: %w", err)
		}
		return key, "", nil
	}
	path := a.keyFile
	if path == "" {
		path = filepath.Join(filepath.Dir(filepath.Clean(dir)), "server.key")
	}
	secret, err := shs.LoadKey(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && a.keyFile == "":
		return key, fmt.Sprintf("there is no %s (--server gives the public key)", path), nil
	case errors.Is(err, fs.ErrPermission) && a.keyFile == "":
		return key, fmt.Sprintf("%s cannot be read (--server gives the public key)", path), nil
	}
	return secret.Public(), "", err
}
