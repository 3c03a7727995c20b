package switchboard_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

const keyA = "@7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519"

func ExampleParseAuthorized() {
	peers, err := switchboard.ParseAuthorized(strings.NewReader(keyA + "  # the build machine\n"))
	for key, comment := range peers {
		fmt.Println(key, comment)
	}
	fmt.Println(err)
	// Output:
	// @7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519 the build machine
	// <nil>
}

func TestParseAuthorized(t *testing.T) {
	keyB := shs.NewPrivateKey([32]byte{1}).Public().String()
	tests := []struct {
		name, text string
		want       int    // keys
		line       string // "" or how the error begins
	}{
		{"empty", "", 0, ""},
		{"only comments", "# a\n\n   # b\n", 0, ""},
		{"two keys", keyA + "\n" + keyB + " # b\n", 2, ""},
		{"carriage returns, tabs, no last newline", "\t" + keyA + "\r\n\r\n" + keyB, 2, ""},
		{"comment touches the key", keyA + "#c", 1, ""},
		{"bad key", "# first\n\n@AAAA.ed25519\n", 0, "line 3: "},
		{"not a key", "hello\n", 0, "line 1: "},
		{"weak key", "\n" + shs.PublicKey{}.String() + "\n", 0, "line 2: "},
		{"twice", keyA + "\n" + keyB + "\n" + keyA + " # again\n", 0, "line 3: "},
		{"option own", keyA + " own=org.example.*\n", 0, "line 1: own= is not enforced yet"},
		{"option see", keyA + " see=**\n", 0, "line 1: see= is not enforced yet"},
		{"option talk", keyA + " talk=**\n", 0, "line 1: talk= is not enforced yet"},
		{"option level", keyA + " level=trusted\n", 0, "line 1: level= is not enforced yet"},
		{"option tenant", keyA + " tenant=acme # x\n", 0, "line 1: tenant= is not enforced yet"},
		{"unknown option", keyA + " colour=red\n", 0, "line 1: unknown option"},
		{"word behind the key", keyA + " own\n", 0, "line 1: unknown option"},
		{"second key behind the first", keyA + " " + keyB + "\n", 0, "line 1: unknown option"},
		{"long line", keyA + "\n#" + strings.Repeat("x", 5000) + "\n", 0, "line 2: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peers, err := switchboard.ParseAuthorized(strings.NewReader(tt.text))
			if tt.line == "" {
				if err != nil || peers == nil || len(peers) != tt.want {
					t.Errorf("got %v, %v, want %d keys", peers, err, tt.want)
				}
				return
			}
			if err == nil || peers != nil || !strings.HasPrefix(err.Error(), tt.line) {
				t.Errorf("got %v, %v, want an error that begins with %q", peers, err, tt.line)
			}
		})
	}
}

func TestLoadAuthorizedRefusesUnsafeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authorized_peers")
	must(t, os.WriteFile(path, []byte(keyA+"\n"), 0o644))
	if peers, err := switchboard.LoadAuthorized(path); err != nil || len(peers) != 1 {
		t.Errorf("got %v, %v, want one key", peers, err)
	}
	must(t, os.Chmod(path, 0o664))
	if _, err := switchboard.LoadAuthorized(path); !errors.Is(err, switchboard.ErrUnsafePath) {
		t.Errorf("writable by the group: got %v, want ErrUnsafePath", err)
	}
	if _, err := switchboard.LoadAuthorized(filepath.Dir(path)); !errors.Is(err, switchboard.ErrUnsafePath) {
		t.Errorf("a directory: got %v, want ErrUnsafePath", err)
	}
}

// Whatever is read can be written and read again with the same result.
func FuzzParseAuthorized(f *testing.F) {
	for _, seed := range []string{
		"", "\n#\n", keyA, keyA + " # c", keyA + " own=a", keyA + "\n" + keyA, "@x.ed25519", "\xff\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		peers, err := switchboard.ParseAuthorized(bytes.NewReader(text))
		if err != nil {
			if peers != nil || !strings.HasPrefix(err.Error(), "line ") {
				t.Fatalf("got %v with %v", peers, err)
			}
			return
		}
		var lines []string
		for key, comment := range peers {
			lines = append(lines, key.String()+" # "+comment)
		}
		sort.Strings(lines)
		again, err := switchboard.ParseAuthorized(strings.NewReader(strings.Join(lines, "\n")))
		if err != nil || len(again) != len(peers) {
			t.Fatalf("second reading: got %v, %v, want %v", again, err, peers)
		}
		for key, comment := range peers {
			if again[key] != comment {
				t.Fatalf("comment of %v: got %q, want %q", key, again[key], comment)
			}
		}
	})
}
