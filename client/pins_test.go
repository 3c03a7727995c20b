//go:build unix

package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// pinKey is the key of a number.
func pinKey(n byte) shs.PublicKey { return shs.NewPrivateKey([32]byte{n, 'p'}).Public() }

// testPins returns pins on a file with text, which is not made if text is "-",
// and what they log.
func testPins(t testing.TB, text string) (*pins, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pins")
	if text != "-" {
		mustPins(t, os.WriteFile(path, []byte(text), 0o600))
	}
	var log bytes.Buffer
	return newPins(path, slog.New(slog.NewTextHandler(&log, nil))), &log
}

func mustPins(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *pins) text(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(p.path)
	mustPins(t, err)
	return string(text)
}

// expects is expect, which must work.
func (p *pins) expects(t testing.TB, name string, configured shs.PublicKey) expected {
	t.Helper()
	x, err := p.expect(t.Context(), name, configured)
	mustPins(t, err)
	return x
}

func TestParsePins(t *testing.T) {
	a, b := pinKey(1).String(), pinKey(2).String()
	for _, tt := range []struct {
		name, text string
		want       map[string]pin
		err        string // its beginning
	}{
		{"empty", "", map[string]pin{}, ""},
		{"comments", "# one\n\n  \t\n#two", map[string]pin{}, ""},
		{"two", "x " + a + "\n\n\torg.example.echo\t" + b + "  # " + a + "\r\n",
			map[string]pin{"x": {pinKey(1), 1}, "org.example.echo": {pinKey(2), 3}}, ""},
		{"one key, two names", "x " + a + "\ny " + a + "#z", map[string]pin{"x": {pinKey(1), 1}, "y": {pinKey(1), 2}}, ""},
		{"a name alone", "# c\nx", nil, "line 2: a line is a name, a key"},
		{"a key alone", a, nil, "line 1: a line is a name, a key"},
		{"a third word", "x " + a + " y", nil, "line 1: a line is a name, a key"},
		{"a torn line", "x " + a + "\ny " + b[:20], nil, "line 2: "},
		{"twice", "x " + a + "\n\nx " + b, nil, "line 3: x stands on line 1 already"},
		{"twice the same", "x " + a + "\nx " + a, nil, "line 2: x stands on line 1 already"},
		{"a session", ":17 " + a, nil, `line 1: ":17" is not a name`},
		{"a pattern", "x.* " + a, nil, `line 1: "x.*" is not a name`},
		{"a bad name", "x..y " + a, nil, `line 1: "x..y" is not a name`},
		{"a digit first", "x.1 " + a, nil, `line 1: "x.1" is not a name`},
		{"a long name", strings.Repeat("x", 256) + " " + a, nil, `line 1: "xxx`},
		{"another space", "x\u00a0" + a, nil, "line 1: "},
		{"the zero key", "x " + shs.PublicKey{}.String(), nil, "line 1: "},
		{"another spelling of a key", "x " + strings.TrimPrefix(a, "@"), nil, "line 1: "},
		{"a long line", "x " + a + "\n" + strings.Repeat("#", maxPinLine+1), nil, "line 2: it is longer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parsePins([]byte(tt.text))
			if tt.err != "" {
				if got != nil || err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("got %v and %v, want %q", got, err, tt.err)
				}
				return
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v and %v, want %v", got, err, tt.want)
			}
		})
	}
}

// FuzzParsePins: what is read can be added to, and says the same then.
func FuzzParsePins(f *testing.F) {
	line := pinLine("org.example.echo", pinKey(1))
	for _, seed := range []string{
		"", "\n#\n", line, line + " # c", line + "\r\n", line + "\n" + line, "x.y " + line, "x @x.ed25519", pinLine("x", shs.PublicKey{}), ":1 " + line, "\xff\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parsePins(text)
		if err != nil {
			if all != nil || !strings.HasPrefix(err.Error(), "line ") {
				t.Fatalf("got %v with %v", all, err)
			}
			return
		}
		name := "new"
		for _, twice := all[name]; twice; _, twice = all[name] {
			name += "w"
		}
		if len(name) > maxName {
			return
		}
		again, err := parsePins(fmt.Appendf(nil, "%s\n%s  # c\n", text, pinLine(name, pinKey(2))))
		if err != nil || len(again) != len(all)+1 || again[name].key != pinKey(2) {
			t.Fatalf("with a line more: got %v and %v", again, err)
		}
		for name, p := range all {
			if again[name] != p || !isName(name) || p.key.IsZero() {
				t.Fatalf("%q: got %v and %v", name, p, again[name])
			}
		}
	})
}

// TestPinsOrder: OpenOptions.Key, then the file, then the server's word.
func TestPinsOrder(t *testing.T) {
	text := "# mine\n" + pinLine("pinned", pinKey(1)) + " # checked by hand"
	for _, tt := range []struct {
		name       string
		to         string
		configured byte // 0: nothing
		proven     byte
		want       byte // 0: whom the server says
		says       string
		logs       string
		adds       bool
	}{
		{"configured", "pinned", 2, 2, 2, "", "", false},
		{"configured, mismatch", "pinned", 2, 1, 2, "OpenOptions.Key", "", false},
		{"configured, not in the file", "new", 2, 2, 2, "", "", false},
		{"pinned", "pinned", 0, 1, 1, "", "", false},
		{"pinned, mismatch", "pinned", 0, 2, 1, "line 2 of ", "", false},
		{"first use", "new", 0, 3, 0, "", "first use", true},
		{"session", ":17", 0, 3, 0, "", "server's word", false},
		{"session, configured", ":17", 2, 3, 2, "OpenOptions.Key", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, log := testPins(t, text)
			var configured, want shs.PublicKey
			if tt.configured > 0 {
				configured = pinKey(tt.configured)
			}
			if tt.want > 0 {
				want = pinKey(tt.want)
			}
			x := p.expects(t, tt.to, configured)
			if x.key != want {
				t.Errorf("expects %v, want %v", x.key, want)
			}
			for i, err := range []error{x.check(pinKey(tt.proven)), x.proven(t.Context(), pinKey(tt.proven))} {
				if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, PeerMismatch) || !strings.Contains(err.Error(), tt.says)) {
					t.Errorf("step %d: got %v, want %q", i, err, tt.says)
				}
			}
			if (log.Len() > 0) != (tt.logs != "") || !strings.Contains(log.String(), tt.logs) {
				t.Errorf("logged %q", log)
			}
			got := p.text(t)
			if !strings.HasPrefix(got, text) || (len(got) > len(text)) != tt.adds {
				t.Errorf("the file has become %q", got)
			}
			if tt.adds {
				if x := p.expects(t, tt.to, shs.PublicKey{}); x.key != pinKey(tt.proven) || x.line != 3 {
					t.Errorf("the next time it expects %v by line %d", x.key, x.line)
				}
			}
		})
	}
}

// TestPinsMismatch: the server's own word for it gets the line, too.
func TestPinsMismatch(t *testing.T) {
	p, _ := testPins(t, pinLine("pinned", pinKey(1)))
	x := p.expects(t, "pinned", shs.PublicKey{})
	err := x.mismatch(PeerMismatch.With("somebody else"))
	if !errors.Is(err, PeerMismatch) || !strings.Contains(err.Error(), "line 1 of "+p.path) {
		t.Errorf("got %v", err)
	}
	if err := x.mismatch(fs.ErrExist); err != fs.ErrExist {
		t.Errorf("another error became %v", err)
	}
	if err := x.mismatch(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

// TestPinsWithout: without a file the server's word counts, and is logged.
func TestPinsWithout(t *testing.T) {
	var log bytes.Buffer
	p := newPins("", slog.New(slog.NewTextHandler(&log, nil)))
	x := p.expects(t, "new", shs.PublicKey{})
	if err := x.proven(t.Context(), pinKey(1)); err != nil || !strings.Contains(log.String(), "server's word") {
		t.Errorf("got %v, logged %q", err, &log)
	}
}

// TestPinsMade: the file is made with the first line, private.
func TestPinsMade(t *testing.T) {
	p, _ := testPins(t, "-")
	mustPins(t, p.expects(t, "new", shs.PublicKey{}).proven(t.Context(), pinKey(1)))
	info, err := os.Stat(p.path)
	mustPins(t, err)
	if info.Mode() != 0o600 || !strings.HasPrefix(p.text(t), pinLine("new", pinKey(1))+"  # first use 2") || !strings.HasSuffix(p.text(t), "\n") {
		t.Errorf("mode %v, text %q", info.Mode(), p.text(t))
	}
}

// TestPinsRace: who looked before another wrote the name does not overwrite it.
func TestPinsRace(t *testing.T) {
	p, log := testPins(t, "-")
	first, second, third := p.expects(t, "new", shs.PublicKey{}), p.expects(t, "new", shs.PublicKey{}), p.expects(t, "new", shs.PublicKey{})
	mustPins(t, first.proven(t.Context(), pinKey(1)))
	text := p.text(t)
	log.Reset()
	mustPins(t, second.proven(t.Context(), pinKey(1)))
	err := third.proven(t.Context(), pinKey(2))
	if !errors.Is(err, PeerMismatch) || !strings.Contains(err.Error(), "line 1 of "+p.path) {
		t.Errorf("got %v", err)
	}
	if p.text(t) != text || log.Len() > 0 {
		t.Errorf("the file has become %q, logged %q", p.text(t), log)
	}
}

// TestPinsBadFile: a file that is not safe, or not one, is an error for what is
// not configured, and is left as it is.
func TestPinsBadFile(t *testing.T) {
	line := pinLine("pinned", pinKey(1))
	for _, tt := range []struct {
		name  string
		spoil func(path string) error
		says  string
		want  error // or nil
	}{
		{"group may write", func(path string) error { return os.Chmod(path, 0o620) }, "chmod go-w", errPinsFile},
		{"all may write", func(path string) error { return os.Chmod(path, 0o602) }, "chmod go-w", errPinsFile},
		{"directory", func(path string) error { return os.Chmod(filepath.Dir(path), 0o770) }, "chmod go-w", errPinsFile},
		{"symbolic link", func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path))
		}, "regular file", errPinsFile},
		{"pipe", func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }, "regular file", errPinsFile},
		{"a directory there", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "regular file", errPinsFile},
		{"torn", func(path string) error { return os.WriteFile(path, []byte(line+"\nnew @7MG"), 0o600) }, "line 2: ", nil},
		{"large", func(path string) error {
			return os.WriteFile(path, bytes.Repeat([]byte("# comment\n"), maxPins/10+1), 0o600)
		}, "more than", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := testPins(t, line)
			good := p.expects(t, "new", shs.PublicKey{})
			mustPins(t, tt.spoil(p.path))
			before, _ := os.ReadFile(p.path + "2") // there is none but of the link
			_, err := p.expect(t.Context(), "pinned", shs.PublicKey{})
			for i, err := range []error{err, good.proven(t.Context(), pinKey(3))} {
				if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), filepath.Dir(p.path)) || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("step %d: got %v, want %q", i, err, tt.says)
				}
			}
			if after, _ := os.ReadFile(p.path + "2"); !bytes.Equal(before, after) {
				t.Errorf("what the link points to has become %q", after)
			}
			p.expects(t, "pinned", pinKey(2))
		})
	}
}

// TestPinsOwner: the file must be the user's own or root's.
func TestPinsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	p, _ := testPins(t, pinLine("pinned", pinKey(1)))
	mustPins(t, os.Chown(p.path, 54321, 0))
	if _, err := p.expect(t.Context(), "pinned", shs.PublicKey{}); !errors.Is(err, errPinsFile) {
		t.Errorf("got %v", err)
	}
}

// TestPinsSticky: in a directory such as /tmp nobody else can remove the file.
func TestPinsSticky(t *testing.T) {
	p, _ := testPins(t, pinLine("pinned", pinKey(1)))
	mustPins(t, os.Chmod(filepath.Dir(p.path), 0o777|fs.ModeSticky))
	if x := p.expects(t, "pinned", shs.PublicKey{}); x.key != pinKey(1) {
		t.Errorf("expects %v", x.key)
	}
}

// TestPinsFull: a file at its limit takes no line more, and stays readable.
func TestPinsFull(t *testing.T) {
	text := strings.Repeat("# comment\n", maxPins/10)
	p, _ := testPins(t, text)
	err := p.expects(t, "new", shs.PublicKey{}).proven(t.Context(), pinKey(1))
	if err == nil || !strings.Contains(err.Error(), pinLine("new", pinKey(1))) {
		t.Errorf("got %v", err)
	}
	if p.text(t) != text {
		t.Error("the file has changed")
	}
}

// TestPinsLocked: who waits for the lock stops when its context ends.
func TestPinsLocked(t *testing.T) {
	p, _ := testPins(t, "")
	x := p.expects(t, "new", shs.PublicKey{})
	f, err := os.Open(p.path)
	mustPins(t, err)
	defer f.Close()
	mustPins(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := x.proven(ctx, pinKey(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("adding: got %v", err)
	}
	if p.text(t) != "" {
		t.Errorf("the file has become %q", p.text(t))
	}
	p.expects(t, "new", shs.PublicKey{}) // who only looks does not wait
	mustPins(t, os.WriteFile(p.path, []byte("new @7MG"), 0o600))
	if _, err := p.expect(ctx, "new", shs.PublicKey{}); !errors.Is(err, context.DeadlineExceeded) { // but for a whole line
		t.Errorf("looking at half a line: got %v", err)
	}
}

// TestPinsReplaced: a line is not added to a file that an editor has replaced
// while its lock was waited for.
func TestPinsReplaced(t *testing.T) {
	p, _ := testPins(t, "# old\n")
	old, err := os.Open(p.path)
	mustPins(t, err)
	defer old.Close()
	mustPins(t, syscall.Flock(int(old.Fd()), syscall.LOCK_EX))
	x := expected{name: "new", pins: p}
	waits := make(chan struct{})
	added := make(chan error, 1)
	go func() {
		close(waits)
		added <- x.proven(t.Context(), pinKey(1))
	}()
	<-waits
	mustPins(t, os.WriteFile(p.path+"~", []byte("# new\n"), 0o600))
	mustPins(t, os.Rename(p.path+"~", p.path))
	mustPins(t, old.Close())
	mustPins(t, <-added)
	if want := "# new\n" + pinLine("new", pinKey(1)); !strings.HasPrefix(p.text(t), want) {
		t.Errorf("the file is %q, want %q", p.text(t), want)
	}
}

// The test below runs its own program again, as several processes.
const (
	pinsWorkers = 4
	pinsEach    = 8 // the last to get the lock has 5 s for it
	pinsFileEnv = "SWITCHBOARD_TEST_PINS"
	pinsWhoEnv  = "SWITCHBOARD_TEST_PINS_WHO"
)

// TestPinsProcesses: of the lines of several processes none is lost, doubled or
// torn, and what was there stays.
func TestPinsProcesses(t *testing.T) {
	if path := os.Getenv(pinsFileEnv); path != "" {
		p := newPins(path, slog.New(slog.DiscardHandler))
		var wg sync.WaitGroup
		for i := range pinsEach {
			wg.Go(func() {
				for _, name := range []string{fmt.Sprintf("worker%s.n%d", os.Getenv(pinsWhoEnv), i), fmt.Sprintf("shared.n%d", i)} {
					x, err := p.expect(t.Context(), name, shs.PublicKey{})
					if err == nil {
						err = x.proven(t.Context(), pinKey(byte(i)))
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return
	}
	before := "# by hand\n" + pinLine("old", pinKey(200)) + "  # checked" // no line end
	p, _ := testPins(t, before)
	var wg sync.WaitGroup
	for who := range pinsWorkers {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPinsProcesses$")
			cmd.Env = append(os.Environ(), pinsFileEnv+"="+p.path, fmt.Sprintf("%s=%d", pinsWhoEnv, who))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	text := p.text(t)
	all, err := parsePins([]byte(text))
	if want := 1 + pinsEach*(pinsWorkers+1); err != nil || len(all) != want || !strings.HasPrefix(text, before+"\n") || strings.Count(text, "\n") != want+1 {
		t.Fatalf("got %d names, want %d, and %v:\n%s", len(all), want, err, text)
	}
	for i := range pinsEach {
		for _, who := range []string{"shared", "worker0", "worker3"} {
			if got := all[fmt.Sprintf("%s.n%d", who, i)].key; got != pinKey(byte(i)) {
				t.Errorf("%s.n%d has %v", who, i, got)
			}
		}
	}
}
