// Package paths knows where a switchboard keeps its things by default, and reads
// the address file with the distrust it needs.
//
// Default is a pure function of the environment and the uid:
//
//	           root                       everybody else
//	socket     /run/switchboard/bus.sock  $XDG_RUNTIME_DIR/switchboard/bus.sock, where that is
//	                                      unset $XDG_STATE_HOME/switchboard/bus.sock
//	address    the file "address" beside the socket
//	the rest   /etc/switchboard/          $XDG_CONFIG_HOME/switchboard/: switchboard.toml,
//	                                      authorized_peers, server.key, user.key
//
// XDG_STATE_HOME is ~/.local/state and XDG_CONFIG_HOME is ~/.config unless set; a
// value that is not absolute is ignored, as the XDG Base Directory Specification
// demands. The address file names the server's key, so ReadAddress trusts it only
// where nobody else can have written it (PROTOCOL.md §1).
//
// The functions keep nothing and are safe for concurrent use.
package paths

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

var (
	// ErrNoPlace says that the environment does not tell where a place is.
	ErrNoPlace = errors.New("paths: no default place")

	// ErrUntrusted says that somebody else may have written the address file.
	ErrUntrusted = errors.New("paths: address file not to be trusted")
)

// Set is where things are by default. Nothing is checked or made.
type Set struct {
	Socket     string // the server listens here
	Address    string // written by the server when it starts, read by clients
	Config     string // the server's settings
	Authorized string // the keys that may connect over TCP
	ServerKey  string
	UserKey    string // of the person at the command line
}

// Default returns the default places for a user. getenv is os.Getenv, euid is
// os.Geteuid. If the environment of a user other than root lacks what is needed,
// the error is ErrNoPlace, saying what to set, and the Set has the places that
// are known, the others empty: who names all he needs elsewhere can go on.
func Default(getenv func(string) string, euid int) (Set, error) {
	if euid == 0 {
		return in("/run/switchboard", "/etc/switchboard"), nil
	}
	env := func(name string) string {
		if dir := getenv(name); filepath.IsAbs(dir) {
			return filepath.Join(dir)
		}
		return ""
	}
	home := env("HOME")
	run := env("XDG_RUNTIME_DIR")
	if run == "" {
		run = env("XDG_STATE_HOME")
	}
	if run == "" && home != "" {
		run = filepath.Join(home, ".local", "state")
	}
	config := env("XDG_CONFIG_HOME")
	if config == "" && home != "" {
		config = filepath.Join(home, ".config")
	}
	return in(below(run), below(config)), missing(run, config)
}

// below is the folder for ours in dir, which may be unknown.
func below(dir string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "switchboard")
}

// in spreads out the two folders, of which each may be unknown.
func in(run, config string) Set {
	file := func(dir, name string) string {
		if dir == "" {
			return ""
		}
		return filepath.Join(dir, name)
	}
	return Set{
		Socket:     file(run, "bus.sock"),
		Address:    file(run, "address"),
		Config:     file(config, "switchboard.toml"),
		Authorized: file(config, "authorized_peers"),
		ServerKey:  file(config, "server.key"),
		UserKey:    file(config, "user.key"),
	}
}

// missing is the error for what is unknown.
func missing(run, config string) error {
	switch {
	case run == "" && config == "":
		return fmt.Errorf("%w for the socket and the settings: set HOME, or both XDG_RUNTIME_DIR and XDG_CONFIG_HOME to absolute paths", ErrNoPlace)
	case run == "":
		return fmt.Errorf("%w for the socket: set XDG_RUNTIME_DIR, XDG_STATE_HOME or HOME to an absolute path", ErrNoPlace)
	case config == "":
		return fmt.Errorf("%w for the settings and keys: set XDG_CONFIG_HOME or HOME to an absolute path", ErrNoPlace)
	}
	return nil
}

// ReadAddress returns the text of an address file without the white space around
// it, at most 4 KiB and not empty. The file and its directory must belong to the
// caller's effective uid or to root and be writable by nobody else, and neither may
// be a symbolic link: else the error is ErrUntrusted. A file that is not there is
// fs.ErrNotExist. Each error names the path and what to do.
// Systems other than Unix answer errors.ErrUnsupported.
func ReadAddress(path string) (string, error) {
	return readAddress(path, os.Geteuid())
}
