package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/switchboard"
)

// Each file of testdata/bad has one mistake, marked on its line by a comment
// "# <- part of the message".
func TestParseConfigNamesTheLine(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 20 {
		t.Fatalf("got %d files, %v, want the bad configurations", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			line, want := 0, ""
			for i, l := range strings.Split(string(text), "\n") {
				if _, after, ok := strings.Cut(l, "# <-"); ok {
					line, want = i+1, strings.TrimSpace(after)
				}
			}
			s, err := parseConfig(file, string(text), "/etc/switchboard")
			if err == nil {
				t.Fatalf("got %+v, want an error", s)
			}
			if got := err.Error(); !strings.HasPrefix(got, fmt.Sprintf("%s:%d: ", file, line)) || !strings.Contains(got, want) {
				t.Errorf("got %q, want line %d and %q", got, line, want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("got more than one line: %q", err)
			}
		})
	}
}

// An error that meets the end of the file is on its last line.
func TestParseConfigErrorAtEnd(t *testing.T) {
	_, err := parseConfig("conf", "log_level = \"info\"\nkey = \"a\\", "/d")
	if err == nil || !strings.HasPrefix(err.Error(), "conf:2: ") {
		t.Errorf("got %v, want an error on line 2", err)
	}
}

// The configuration in the README is one, and its defaults are the program's.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```toml\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatal("there is no TOML in the README")
	}
	s, err := parseConfig("README", block, "/d")
	if err != nil {
		t.Fatal(err)
	}
	if s.Drain != "30s" || s.Defaults != (Defaults{"untrusted", "trusted", "README:4", "README:5"}) || s.Limits.Sessions != 4096 {
		t.Errorf("got %+v", s)
	}
}

// A file that holds nothing may be one that is being written.
func TestParseConfigEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", " \t\r\n"} {
		if _, err := parseConfig("conf", text, "/d"); err == nil || !strings.HasPrefix(err.Error(), "conf:1: the file is empty") {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if _, err := parseConfig("conf", "# nothing", "/d"); err != nil {
		t.Errorf("a comment: %v", err)
	}
}

func TestParseConfig(t *testing.T) {
	text, err := os.ReadFile("testdata/good/all.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseConfig("all.toml", string(text), "/home/me/conf")
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Listen:          []string{"unix:/home/me/conf/run/bus.sock", "net:localhost"},
		Key:             "/home/me/conf/server.key",
		AuthorizedPeers: "/etc/switchboard/authorized_peers",
		NetworkKey:      "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		AddressFile:     "/home/me/conf/run/address",
		Direct:          []string{"unix", "net"},
		Advertise:       "192.0.2.1",
		LogLevel:        "debug",
		LogFormat:       "json",
		Drain:           "1m30s",
		Defaults:        Defaults{"basic", "refuse", "all.toml:14", "all.toml:15"},
		Levels:          map[string]switchboard.Bundle{"basic": {Own: []string{}, See: []string{"**", "*/**"}, Talk: []string{"org.example.**"}}},
		Tenants: map[string]switchboard.Tenant{
			"acme": {Export: []string{"org.example.store", "org.example.log -> beta"}, Import: []string{"beta/org.**"}},
			"beta": {Import: []string{"acme/org.example.store"}},
		},
		Limits: switchboard.Limits{SessionsPerKey: 8, CallRate: 100, Held: 16 << 20, HeldTotal: 8 << 30,
			WatchLags: 5, EarlyResets: 800, Invites: 8, PassedTotal: 64, Moved: 100, AttemptLife: 5 * time.Second, DirectLease: 30 * time.Second,
			Admission: switchboard.Admission{SessionsPerUID: 512, ConnectRate: -1, HandshakeRate: 300, HandshakeTimeout: 4 * time.Second},
			Basic:     switchboard.Quota{Lanes: 32}, Rates: map[string]switchboard.Rate{"connect": {N: 100, Per: time.Minute}, "names.list": {N: 5, Per: time.Second}}},
		Audit: AuditSettings{Dir: new(string), MaxFile: 1 << 20, Files: 4, Ring: 500, Rate: -1, Flush: 2 * time.Second,
			Sinks: []string{"log", "file:/home/me/conf/audit.jsonl", "https://example.org/in"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if n := reflect.TypeFor[Settings]().NumField(); len(got.readers("")) != n {
		t.Errorf("%d settings in the file, %d by name: they must be the same", len(got.readers("")), n)
	}
}

func TestSettingsOver(t *testing.T) {
	flags := Settings{Listen: []string{"unix:a"}, LogLevel: "debug", Direct: []string{}}
	file := Settings{Listen: []string{"unix:b"}, Key: "k", LogLevel: "warn", Direct: []string{"net"}, Advertise: "192.0.2.1"}
	want := Settings{Listen: []string{"unix:a"}, Key: "k", LogLevel: "debug", Direct: []string{}, Advertise: "192.0.2.1"}
	if got := flags.over(file); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A configuration is settings that all pass their checks, or an error that names
// file and line.
func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatalf("got %d seeds, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseConfig("conf", text, "/d")
		if err != nil {
			if !reflect.DeepEqual(s, Settings{}) {
				t.Fatalf("settings %+v beside error %v", s, err)
			}
			var line int
			if _, scan := fmt.Sscanf(err.Error(), "conf:%d: ", &line); scan != nil || line < 1 || line > 1+strings.Count(text, "\n") {
				t.Fatalf("got %q, want file and line", err)
			}
			return
		}
		if _, err := parseLevel(s.LogLevel); err != nil {
			t.Fatal(err)
		}
		if _, err := parseNetworkKey(s.NetworkKey); err != nil {
			t.Fatal(err)
		}
		if err := new(plan).parseDirect(s); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{s.Key, s.AuthorizedPeers, s.AddressFile} {
			if path != "" && path[0] != '/' {
				t.Fatalf("path %q is not absolute", path)
			}
		}
	})
}
