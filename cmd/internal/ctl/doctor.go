package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/internal/paths"
	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/shs"
)

// newDoctor builds "doctor".
func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with this machine's switchboard",
		Long: `Doctor looks at the files of a switchboard (owners and modes of key, configuration,
authorized_peers, socket and log), whether each of its addresses answers, its clock
against this one, and its limits against the memory and descriptors of the machine.
Each line is ok, warn or fail, with what to do. With a fail the exit code is 1.

Who runs the server sees most: it logs in with the server's own key if that can be
read. --key and --address name others.`,
		Example: "  sbctl doctor",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{a: a}
			d.files()
			d.server(cmd.Context())
			return d.done()
		},
	}
}

// doctor prints what it finds.
type doctor struct {
	a           *app
	fails       int
	warns       int
	broken      error // the first error of a print
	addressText string
}

func (d *doctor) say(colour term.Colour, verdict, what, advice string) {
	line := what
	if advice != "" {
		line += ": " + advice
	}
	_, err := fmt.Fprintf(d.a.out, "%s %s\n", colour.Paint(fmt.Sprintf("%-4s", verdict)), term.Escape(line))
	d.broken = errors.Join(d.broken, err)
}

func (d *doctor) ok(what, detail string) { d.say(d.a.colour.Good, "ok", what, detail) }
func (d *doctor) warn(what, advice string) {
	d.warns++
	d.say(d.a.colour.Change, "warn", what, advice)
}
func (d *doctor) fail(what, advice string) {
	d.fails++
	d.say(d.a.colour.Bad, "fail", what, advice)
}

func (d *doctor) done() error {
	if d.broken != nil {
		return d.broken
	}
	if d.fails > 0 {
		return failure{exitOther, fmt.Errorf("%d of the checks failed, %d warn", d.fails, d.warns)}
	}
	return nil
}

// files looks at the files in the default places, or beside the given key.
func (d *doctor) files() {
	set, err := paths.Default(os.Getenv, os.Geteuid())
	if err != nil {
		d.warn("default places", err.Error()+"; set HOME")
	}
	key, err := d.a.serverKeyPath()
	if err == nil {
		d.file("server's key", key, 0o077, secretFile)
		d.dir("its directory", filepath.Dir(key), 0o022)
	}
	d.file("authorized_peers", set.Authorized, 0o022, ownFile)
	if set.Authorized != "" {
		d.file("revoked_peers", peersfile.Beside(set.Authorized).Revoked, 0o022, ownFile)
	}
	d.file("configuration", set.Config, 0o022, linkedFile)
	d.addressText = d.a.address
	if d.addressText == "" {
		d.addressText = os.Getenv("SWITCHBOARD_ADDRESS")
	}
	if d.addressText != "" {
		return
	}
	d.file("address file", set.Address, 0o022, linkedFile)
	if set.Socket != "" {
		d.dir("socket's directory", filepath.Dir(set.Socket), 0o022)
	}
	if fi, err := os.Stat(set.Address); err != nil || !fi.Mode().IsRegular() {
		return
	}
	if text, err := os.ReadFile(set.Address); err == nil {
		d.addressText = strings.TrimSpace(string(text))
	}
}

// care is how a file is read that doctor looks at.
type care int

const (
	linkedFile care = iota // through a symbolic link, too
	ownFile                // not through one
	secretFile             // nor by another user than the server's
)

// file looks at a plain file: on its descriptor, so that it is the one that is read.
func (d *doctor) file(what, path string, mayNot fs.FileMode, c care) {
	if path == "" {
		return
	}
	fi, err := os.Lstat(path)
	switch {
	case err != nil || fi.Mode()&fs.ModeSymlink == 0:
	case c == linkedFile:
		d.warn(what, path+" is a symbolic link; whoever may change it chooses the file")
	default:
		d.fail(what, path+" is a symbolic link, which is refused; put the file itself there")
		return
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe may have no writer
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.ok(what, path+" is not there; it need not be")
		return
	case errors.Is(err, fs.ErrPermission) && c == secretFile:
		d.ok(what, path+" cannot be read by this user")
		return
	case err != nil:
		d.fail(what, err.Error())
		return
	}
	fi, err = f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		d.fail(what, err.Error())
		return
	}
	if !fi.Mode().IsRegular() {
		d.fail(what, path+" is no plain file; put one there")
		return
	}
	d.owned(what, path, fi, mayNot)
}

// dir looks at a directory.
func (d *doctor) dir(what, path string, mayNot fs.FileMode) {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.ok(what, path+" is not there; the server makes it")
	case err != nil:
		d.fail(what, err.Error())
	case !fi.IsDir():
		d.fail(what, path+" is no directory")
	case fi.Mode()&fs.ModeSticky != 0:
		d.ok(what, path)
	default:
		d.owned(what, path, fi, mayNot)
	}
}

func (d *doctor) owned(what, path string, fi fs.FileInfo, mayNot fs.FileMode) {
	uid, known := ownerOf(fi)
	switch {
	case known && uid != 0 && uid != os.Geteuid():
		d.fail(what, fmt.Sprintf("%s belongs to uid %d; chown it to the server's user or root", path, uid))
	case fi.Mode().Perm()&mayNot != 0:
		d.fail(what, fmt.Sprintf("%s has mode %04o; chmod %04o %s", path, fi.Mode().Perm(), fi.Mode().Perm()&^mayNot, path))
	default:
		d.ok(what, path)
	}
}

// server asks the server: at each of its addresses, and then for its counters.
func (d *doctor) server(ctx context.Context) {
	if d.addressText == "" {
		d.fail("server", `none found; "switchboard" starts one, or name one with --address`)
		return
	}
	addrs, err := shs.ParseAddresses(d.addressText)
	if err != nil {
		d.fail("address", err.Error())
		return
	}
	as := *d.a
	if as.keyFile == "" {
		as.admin = true
	}
	if path, _, err := as.keyPath(as.keyFile); err == nil {
		if _, err := shs.LoadKey(path); err != nil {
			as.admin = false
			d.warn("administration", fmt.Sprintf("%v; logging in with the user's own key sees less", err))
		}
	}
	if d.a.timeout == 0 || d.a.timeout > reachTimeout {
		as.timeout = reachTimeout
	}
	asked := false
	for _, addr := range addrs {
		one := as
		one.address = shs.FormatAddresses([]shs.Address{addr})
		if addr.Network != "unix" { // over TCP the server's own key is refused
			one.admin, one.keyFile = false, d.a.keyFile
		}
		err := one.once(ctx, func(ctx context.Context, c *client.Client) error {
			took, err := c.Ping(ctx)
			if err != nil {
				return err
			}
			d.ok("reachable", fmt.Sprintf("%s:%s in %v", addr.Network, addr.Addr, took.Round(10*time.Microsecond)))
			if !asked {
				asked = true
				d.clock(ctx, c)
				d.limits(ctx, c)
			}
			return nil
		})
		switch at := addr.Network + ":" + addr.Addr; {
		case err == nil:
		case asked && addr.Network != "unix" && errors.Is(err, shs.ErrRefused):
			d.warn("reachable", at+" answers, and refuses the key that was tried; --key names one that is listed in authorized_peers")
		default:
			d.fail("reachable", fmt.Sprintf("%s: %s", at, message(err)))
		}
	}
}

// reachTimeout is how long an address may take to answer.
const reachTimeout = 5 * time.Second

// clock compares the server's clock with this one: expiry of lines and the order of
// logs of several machines hang on it, no deadline does.
func (d *doctor) clock(ctx context.Context, c *client.Client) {
	began := time.Now()
	var theirs int64
	if err := c.Call(ctx, "ping", nil, &theirs); err != nil {
		d.fail("clock", message(err))
		return
	}
	now := time.Now()
	off := time.UnixMilli(theirs).Sub(began.Add(now.Sub(began) / 2)).Round(time.Millisecond)
	if off.Abs() > maxSkew {
		d.warn("clock", fmt.Sprintf("the server's is %v off this one; set both by NTP", off))
		return
	}
	d.ok("clock", fmt.Sprintf("the server's is %v off this one", off))
}

// maxSkew is how far two clocks may be apart.
const maxSkew = 5 * time.Second
