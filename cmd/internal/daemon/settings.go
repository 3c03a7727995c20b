package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/cmd/internal/term"
	"github.com/cad2f06c/switchboard/internal/paths"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// Settings is what can be set: by flag or file, and the tables by file alone.
// Empty means not set.
type Settings struct {
	Listen          []string // unix:PATH or net:HOST:PORT
	Key             string   // path
	AuthorizedPeers string   // path
	NetworkKey      string   // base64
	AddressFile     string   // path
	Direct          []string // kinds of direct links; an empty list that is not nil is none
	Advertise       string   // IP address
	LogLevel        string   // debug, info, warn, error
	LogFormat       string   // text, json
	Drain           string   // duration

	Defaults Defaults
	Levels   map[string]switchboard.Bundle // by level
	Tenants  map[string]switchboard.Tenant // by name
	Limits   switchboard.Limits
	Audit    AuditSettings
}

// over returns s with what it leaves open filled in from below.
func (s Settings) over(below Settings) Settings {
	if len(s.Listen) == 0 {
		s.Listen = below.Listen
	}
	if s.Direct == nil {
		s.Direct = below.Direct
	}
	for _, f := range []struct{ mine, theirs *string }{
		{&s.Key, &below.Key},
		{&s.AuthorizedPeers, &below.AuthorizedPeers},
		{&s.NetworkKey, &below.NetworkKey},
		{&s.AddressFile, &below.AddressFile},
		{&s.Advertise, &below.Advertise},
		{&s.LogLevel, &below.LogLevel},
		{&s.LogFormat, &below.LogFormat},
		{&s.Drain, &below.Drain},
	} {
		if *f.mine == "" {
			*f.mine = *f.theirs
		}
	}
	s.Defaults, s.Levels, s.Tenants = below.Defaults, below.Levels, below.Tenants
	s.Limits, s.Audit = below.Limits, below.Audit
	return s
}

// plan is what settings, files and defaults come to: all that can be known
// before anything is made or opened.
type plan struct {
	configFile    string // that was read, if it is there; "" if there is no such place
	listen        []string
	explicit      bool // listen was asked for, not defaulted
	key           string
	peersFile     string // authorized_peers; "" if there is no such place
	listed        bool   // it is there
	needed        bool   // it has to be: there is a TCP listener
	policy        *switchboard.Policy
	networkKey    shs.NetworkKey
	direct        []string // nil: all kinds
	advertise     netip.Addr
	addressFile   string // "" where none was asked for and there is no default
	askedFile     bool   // addressFile was asked for
	defaultSocket string // "" if there is none
	level         slog.Level
	format        string
	drain         time.Duration
	limits        switchboard.Limits
	audit         AuditSettings
}

// newPlan loads the configuration file, puts flags above it and defaults below,
// and checks the result. Its errors are usageErrors.
func newPlan(flags Settings, configFile string) (plan, error) {
	defaults, noDefaults := paths.Default(os.Getenv, os.Geteuid())
	file, err := loadSettings(configFile, defaults.Config)
	if err != nil {
		return plan{}, usageError{err}
	}
	s := flags.over(file)
	if len(s.Listen) == 0 && defaults.Socket == "" || s.Key == "" && defaults.ServerKey == "" {
		return plan{}, usageError{fmt.Errorf("%w; set HOME, or give --listen and --key", noDefaults)}
	}
	p := plan{
		configFile: cmp.Or(configFile, defaults.Config),
		listen:     s.Listen, explicit: len(s.Listen) > 0,
		key:         s.Key,
		addressFile: s.AddressFile, askedFile: s.AddressFile != "",
		defaultSocket: defaults.Socket,
	}
	if !p.explicit {
		p.listen = []string{"unix:" + defaults.Socket}
	}
	if p.key == "" {
		p.key = defaults.ServerKey
	}
	if !p.askedFile {
		p.addressFile = defaults.Address
	}
	if err := p.parse(s, defaults.Authorized); err != nil {
		return plan{}, usageError{err}
	}
	return p, nil
}

// parse fills in what needs reading: the network key, the log's settings and the
// policy; and checks the listen addresses against the latter.
func (p *plan) parse(s Settings, defaultAuthorized string) (err error) {
	if p.networkKey, err = parseNetworkKey(s.NetworkKey); err != nil {
		return err
	}
	if err = p.parseDirect(s); err != nil {
		return err
	}
	if p.level, err = parseLevel(s.LogLevel); err != nil {
		return err
	}
	if p.format, err = parseFormat(s.LogFormat); err != nil {
		return err
	}
	if p.drain, err = parseDrain(s.Drain); err != nil {
		return err
	}
	p.limits, p.audit = s.Limits, s.Audit
	p.peersFile = cmp.Or(s.AuthorizedPeers, defaultAuthorized)
	if err := p.loadPolicy(s); err != nil {
		return err
	}
	for _, addr := range p.listen {
		if err := switchboard.CheckListenAddr(addr); err != nil {
			return err
		}
		if !strings.HasPrefix(addr, "unix:") {
			if err := p.needPeers(addr); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseDirect checks what direct links may be.
func (p *plan) parseDirect(s Settings) (err error) {
	if p.direct = s.Direct; p.direct != nil {
		if err := checkKinds(p.direct); err != nil {
			return err
		}
	}
	if s.Advertise != "" {
		p.advertise, err = switchboard.ParseAdvertise(s.Advertise)
	}
	return err
}

// errNoPeers is the refusal to serve TCP to nobody in particular.
func errNoPeers(addr, peersFile string) error {
	if peersFile == "" {
		peersFile = "a file named by --authorized-peers"
	}
	return fmt.Errorf("%s: over TCP only listed keys are admitted, and there is no list; "+
		"write one key a line to %s (sbctl key show prints a user's key)", addr, peersFile)
}

// parseNetworkKey reads base64; empty is the default network.
func parseNetworkKey(s string) (shs.NetworkKey, error) {
	if s == "" {
		return shs.DefaultNetworkKey(), nil
	}
	k, err := shs.ParseNetworkKey(s)
	if err != nil {
		return k, fmt.Errorf("network key: %w", err)
	}
	if k.IsZero() { // the library takes it for "the default one"
		return k, errors.New("network key: all zeros are not a key")
	}
	return k, nil
}

// parseLevel reads the name of a log level; empty is info.
func parseLevel(s string) (slog.Level, error) {
	levels := map[string]slog.Level{
		"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo,
		"warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[s]
	if !ok {
		return 0, fmt.Errorf("log level %.64q: want debug, info, warn or error", s)
	}
	return level, nil
}

// The time for open channels when the server stops.
const (
	defaultDrain = 30 * time.Second
	maxDrain     = time.Hour
)

// parseDrain reads a time; empty is the default. None is as little as there is:
// the library takes 0 for its own default.
func parseDrain(s string) (time.Duration, error) {
	if s == "" {
		return defaultDrain, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxDrain {
		return 0, fmt.Errorf(`drain %.64q: want a time up to an hour, such as "30s"`, s)
	}
	return max(d, 1), nil
}

// parseFormat reads the name of a log format; empty is text.
func parseFormat(s string) (string, error) {
	switch s {
	case "", "text":
		return "text", nil
	case "json":
		return "json", nil
	}
	return "", fmt.Errorf("log format %.64q: want text or json", s)
}

// loadSettings reads the configuration file: the given one, else the default
// one if it exists.
func loadSettings(given, standard string) (Settings, error) {
	path := given
	if path == "" {
		path = standard
	}
	if path == "" {
		return Settings{}, nil
	}
	text, err := readConfig(path)
	if errors.Is(err, fs.ErrNotExist) && given == "" {
		return Settings{}, nil
	}
	if err != nil {
		return Settings{}, fmt.Errorf("configuration: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Settings{}, fmt.Errorf("configuration: %w", err)
	}
	return parseConfig(path, text, filepath.Dir(abs))
}

// check is `switchboard config check`.
func check(out io.Writer, file string) error {
	p, err := newPlan(Settings{}, file)
	if err != nil {
		return err
	}
	if _, err := shs.LoadKey(p.key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usageError{fmt.Errorf("key: %w", err)}
	}
	if file == "" {
		file = "configuration"
	}
	_, err = fmt.Fprintf(out, "%s: ok; would listen on %s\n", term.Escape(file), term.Escape(strings.Join(p.listen, ", ")))
	return err
}
