package shs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// ssbSecret is what ssb-keys 8.5 writes for the seed SHA-256("alice"), with
// shorter comments in the same places.
const ssbSecret = `# WARNING: a comment.
#
# Another one.
#
{
  "curve": "ed25519",
  "public": "1b9KP8znF7A4i8wnSevBSK2ZabI/Re4bYF/Vh3hXasQ=.ed25519",
  "private": "K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpDVv0o/zOcXsDiLzCdJ68FIrZlpsj9F7htgX9WHeFdqxA==.ed25519",
  "id": "@1b9KP8znF7A4i8wnSevBSK2ZabI/Re4bYF/Vh3hXasQ=.ed25519"
}
#
# And the last one, with no line end behind it:
#
#   @1b9KP8znF7A4i8wnSevBSK2ZabI/Re4bYF/Vh3hXasQ=.ed25519`

func writeKey(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadKeySSB(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		got, err := LoadKey(writeKey(t, ssbSecret, mode))
		if got != alice || err != nil {
			t.Errorf("mode %o: got %v, %v", mode, got.Public(), err)
		}
	}
}

func TestCreateKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	if _, err := LoadKey(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	made, err := CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := LoadKey(path); got != made || err != nil {
		t.Errorf("loading what was made: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(path)
	if key, err := CreateKey(path); !errors.Is(err, fs.ErrExist) || !key.IsZero() {
		t.Errorf("a second time: got %v, want %v", err, fs.ErrExist)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the second time changed the file")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if _, err := CreateKey(filepath.Join(dir, "none", "secret")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v", err)
	}
}

// TestLoadOrCreateKey: the first time makes the key and where it lies, each
// further one loads it, and what is not in order is left as it is.
func TestLoadOrCreateKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "secret")
	key, made, err := LoadOrCreateKey(path)
	if !made || err != nil || key.IsZero() {
		t.Fatalf("the first time: made %t, %v", made, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	again, made, err := LoadOrCreateKey(path)
	if made || err != nil || again != key {
		t.Errorf("the second time: made %t, same key %t, %v", made, again == key, err)
	}

	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if key, made, err := LoadOrCreateKey(path); made || !errors.Is(err, ErrKeyFile) || !key.IsZero() {
		t.Errorf("cut short: made %t, %v, want %v", made, err, ErrKeyFile)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 100 {
		t.Errorf("cut short: the file was changed: %v", err)
	}
	if _, made, err := LoadOrCreateKey(filepath.Join(path, "below", "secret")); made || err == nil {
		t.Errorf("below a file: made %t, %v", made, err)
	}
}

// TestCreateKeyRace has many begin at once: one makes the key, all have it.
func TestCreateKeyRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "secret")
	var keys [16]PrivateKey
	var makers atomic.Int32
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, made, err := LoadOrCreateKey(path)
			if err != nil {
				t.Error(err)
			}
			if made {
				makers.Add(1)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || k.IsZero() {
			t.Fatal("two have different keys")
		}
	}
	if n := makers.Load(); n != 1 {
		t.Errorf("%d have made the key", n)
	}
}

// TestCreateKeyDied is a process that died between its last two steps.
func TestCreateKeyDied(t *testing.T) {
	path := writeKey(t, ssbSecret, 0o600)
	if err := os.Link(path, filepath.Join(filepath.Dir(path), ".secret.new-ABC")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestLoadKeyUnsafe are files that others may know or have made (F54).
func TestLoadKeyUnsafe(t *testing.T) {
	tests := map[string]func(t *testing.T) string{
		"group may read":   func(t *testing.T) string { return writeKey(t, ssbSecret, 0o640) },
		"others may read":  func(t *testing.T) string { return writeKey(t, ssbSecret, 0o604) },
		"others may write": func(t *testing.T) string { return writeKey(t, ssbSecret, 0o602) },
		"executable":       func(t *testing.T) string { return writeKey(t, ssbSecret, 0o700) },
		"setuid":           func(t *testing.T) string { return writeKey(t, ssbSecret, 0o600|fs.ModeSetuid) },
		"symbolic link": func(t *testing.T) string {
			path := writeKey(t, ssbSecret, 0o600)
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			return link
		},
		"hard link": func(t *testing.T) string {
			path := writeKey(t, ssbSecret, 0o600)
			if err := os.Link(path, filepath.Join(filepath.Dir(path), "other")); err != nil {
				t.Fatal(err)
			}
			return path
		},
		"hard link beside one of ours": func(t *testing.T) string {
			path := writeKey(t, ssbSecret, 0o600)
			for _, name := range []string{"other", ".secret.new-ABC"} {
				if err := os.Link(path, filepath.Join(filepath.Dir(path), name)); err != nil {
					t.Fatal(err)
				}
			}
			return path
		},
		"directory": func(t *testing.T) string { return t.TempDir() },
		"other owner": func(t *testing.T) string {
			path := writeKey(t, ssbSecret, 0o600)
			if os.Chown(path, 12345, -1) != nil {
				t.Skip("only root can give a file away")
			}
			return path
		},
		"too large": func(t *testing.T) string {
			return writeKey(t, ssbSecret+"\n"+strings.Repeat("#", maxKeyFile), 0o600)
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			path := prepare(t)
			key, err := LoadKey(path)
			checkKeyFileError(t, key, err)
			if !strings.Contains(fmt.Sprint(err), path) {
				t.Errorf("%v does not name the file", err)
			}
		})
	}
}

// TestLoadKeyInvalid are files whose text is not that of a key.
func TestLoadKeyInvalid(t *testing.T) {
	replace := func(old, with string) string {
		if !strings.Contains(ssbSecret, old) {
			t.Fatalf("no %q in the file", old)
		}
		return strings.ReplaceAll(ssbSecret, old, with)
	}
	other := bob.Public().String()
	id := alice.Public().String()
	for name, text := range map[string]string{
		"empty":               "",
		"comments only":       "# nothing\n",
		"another curve":       replace(`"curve": "ed25519"`, `"curve": "k256"`),
		"another public key":  replace(`"public": "`+id[1:], `"public": "`+other[1:]),
		"another id":          replace(`"id": "`+id, `"id": "`+other),
		"halves differ":       replace("eFdqxA==", "eFdqxQ=="),
		"seed differs":        replace(`"private": "K9g`, `"private": "K9h`),
		"private too short":   replace("K9gGyX8O", ""),
		"private no base64":   replace("K9gGyX8O", "????????"),
		"private unpadded":    replace("eFdqxA==.", "eFdqxA."),
		"private no suffix":   replace("eFdqxA==.ed25519", "eFdqxA=="),
		"private a number":    strings.Replace(ssbSecret, `"private": "`, `"private": 1, "x": "`, 1),
		"two objects":         ssbSecret + "\n{}",
		"a key and no object": "K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA=.ed25519",
	} {
		key, err := parseKeyFile([]byte(text))
		t.Run(name, func(t *testing.T) { checkKeyFileError(t, key, err) })
	}
	begin, end := strings.Index(ssbSecret, "{"), strings.Index(ssbSecret, "}")
	for cut := range end {
		key, err := LoadKey(writeKey(t, ssbSecret[:cut], 0o600))
		if cut < begin || cut%10 == 0 {
			checkKeyFileError(t, key, err)
		}
		if err == nil {
			t.Errorf("cut at %d: taken for a key", cut)
		}
	}
	noID := strings.Replace(ssbSecret, `.ed25519",
  "id": "`+id+`"`, `.ed25519"`, 1)
	if key, err := parseKeyFile([]byte(noID)); key != alice || err != nil || noID == ssbSecret {
		t.Errorf("no id: %v", err)
	}
}

// checkKeyFileError wants a refusal that does not tell the secret.
func checkKeyFileError(t *testing.T, key PrivateKey, err error) {
	t.Helper()
	if !errors.Is(err, ErrKeyFile) || !key.IsZero() {
		t.Errorf("got %v, want %v", err, ErrKeyFile)
	}
	for _, secret := range []string{"K9gG", "bpDVv0"} {
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

// TestLoadWhileCreated loads a key all the time while it is made: the two names
// that a new file has for a moment are no fault of it.
func TestLoadWhileCreated(t *testing.T) {
	dir := t.TempDir()
	for i := range 60 {
		path := filepath.Join(dir, fmt.Sprint(i))
		var wg sync.WaitGroup
		wg.Go(func() {
			var err error
			for _, err = LoadKey(path); errors.Is(err, fs.ErrNotExist); _, err = LoadKey(path) {
			}
			if err != nil {
				t.Errorf("got %v, want the key", err)
			}
		})
		if _, err := CreateKey(path); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
}
