package shs

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrKeyFile is returned, with what to do about it, for a key file that is not
// safe or not valid. No error ever holds a part of the secret.
var ErrKeyFile = errors.New("shs: bad key file")

const (
	maxKeyFile = 64 << 10 // bytes
	keyCurve   = "ed25519"
	// newKeyPrefix + base name + newKeyInfix begins the name of a key file that
	// CreateKey has not finished.
	newKeyPrefix = "."
	newKeyInfix  = ".new-"
)

// keyFile is SSB's secret file, as ssb-keys writes it:
//
//	# comment
//	{
//	  "curve": "ed25519",
//	  "public": "<base64 of 32 bytes>.ed25519",
//	  "private": "<base64 of seed 32 | public 32>.ed25519",
//	  "id": "@<base64 of 32 bytes>.ed25519"
//	}
//	# comment
type keyFile struct {
	Curve   string `json:"curve"`
	Public  string `json:"public"`
	Private string `json:"private"`
	ID      string `json:"id"`
}

// LoadKey reads a key from a file in SSB's secret format. The file must be a
// regular file with one name, of mode 0600 or 0400, owned by the user of this
// process, and its parts must agree; else it is not used and the error, an
// ErrKeyFile, says what to do. If there is none, the error is fs.ErrNotExist.
func LoadKey(path string) (PrivateKey, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("loading key: %w", err)
	}
	defer clear(text)
	key, err := parseKeyFile(text)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("loading key %s: %w", path, err)
	}
	return key, nil
}

// readKeyFile reads the file if nobody else can have read or written it.
func readKeyFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := checkKeyFile(path, info); err != nil {
		return nil, err
	}
	f, err := openKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// What counts is the file that is open: the path may have changed since.
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := checkKeyFile(path, info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// checkKeyFile refuses what is not a file that only its owner knows.
func checkKeyFile(path string, info fs.FileInfo) error {
	mode := info.Mode()
	switch {
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%w: %s is a symbolic link: name the file itself", ErrKeyFile, path)
	case !mode.IsRegular():
		return fmt.Errorf("%w: %s is not a regular file: name one, or a place where one can be made", ErrKeyFile, path)
	case mode.Perm()&0o700 == 0 && mode.Perm()&0o077 == 0:
		return fmt.Errorf("%w: %s has mode 0000, so that nobody can read it: run chmod 600 on it", ErrKeyFile, path)
	case mode != 0o600 && mode != 0o400:
		return fmt.Errorf("%w: %s has mode %04o: if you are sure that nobody else read it, run chmod 600 on it; else remove it and make a new one",
			ErrKeyFile, path, mode.Perm())
	case info.Size() > maxKeyFile:
		return fmt.Errorf("%w: %s has %d bytes, limit %d: it is something else, name the right file", ErrKeyFile, path, info.Size(), maxKeyFile)
	}
	return checkKeyFileOwner(path, info)
}

// isNewKey says whether the second name of a file with two is one that
// CreateKey is about to remove, or died before it could: then there is no third
// place from which the file could have been linked here.
func isNewKey(path string, info fs.FileInfo) bool {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), newKeyPrefix+filepath.Base(path)+newKeyInfix) {
			continue
		}
		if other, err := e.Info(); err == nil && os.SameFile(info, other) {
			return true
		}
	}
	return false
}

// parseKeyFile reads the text of a key file.
func parseKeyFile(text []byte) (PrivateKey, error) {
	var object strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#") // as ssb-keys does: no field holds one
		object.WriteString(line)
	}
	bad := func(what string) (PrivateKey, error) {
		return PrivateKey{}, fmt.Errorf("%w: %s: restore it from a copy, or remove it and make a new one", ErrKeyFile, what)
	}
	var file keyFile
	if err := json.Unmarshal([]byte(object.String()), &file); err != nil {
		return bad("it is cut short, or no SSB secret") // err may hold what it read
	}
	if file.Curve != keyCurve {
		return bad("its curve is not ed25519")
	}
	b64, ok := strings.CutSuffix(file.Private, keySuffix)
	pair, err := base64.StdEncoding.Strict().DecodeString(b64)
	defer clear(pair)
	if !ok || err != nil || len(pair) != 64 || strings.ContainsAny(b64, "\r\n") {
		return bad("its private key is not 64 bytes of base64 and .ed25519")
	}
	key := NewPrivateKey([32]byte(pair[:32]))
	if key.pair != [64]byte(pair) {
		return bad("the two halves of its private key do not agree")
	}
	id := key.Public().String()
	if keySigil+file.Public != id {
		return bad("its public key is not that of its private key")
	}
	if file.ID != "" && file.ID != id {
		return bad("its id is not its public key")
	}
	return key, nil
}

// formatKeyFile is what parseKeyFile reads, and ssb-keys, too.
func formatKeyFile(key PrivateKey) []byte {
	id := key.Public().String()
	object, err := json.MarshalIndent(keyFile{
		Curve:   keyCurve,
		Public:  strings.TrimPrefix(id, keySigil),
		Private: base64.StdEncoding.EncodeToString(key.pair[:]) + keySuffix,
		ID:      id,
	}, "", "  ")
	if err != nil {
		panic("shs: four strings are always JSON")
	}
	return fmt.Appendf(nil, `# This is a SECRET. Whoever has it can act as you: show it to nobody, and keep it
# on one machine only.
%s

# Your public name, which you may show to everybody:
#   %s
`, object, id)
}

// CreateKey makes a new key and writes it to a file that LoadKey, and ssb-keys,
// can load: mode 0600, on the disk when CreateKey returns, and there either
// whole or not at all. A file that is there already is left alone: the error is
// fs.ErrExist.
func CreateKey(path string) (key PrivateKey, err error) {
	defer func() {
		if err != nil {
			key, err = PrivateKey{}, fmt.Errorf("creating key: %w", err)
		}
	}()
	key = GenerateKey()
	dir := filepath.Dir(path)
	temp := filepath.Join(dir, newKeyPrefix+filepath.Base(path)+newKeyInfix+rand.Text())
	if err := writeNew(temp, formatKeyFile(key)); err != nil {
		return key, err
	}
	// Link, unlike rename, does not replace what is there.
	if err := errors.Join(os.Link(temp, path), os.Remove(temp)); err != nil {
		return key, err
	}
	return key, syncDir(dir)
}

// writeNew writes a file that was not there, with mode 0600, to the disk.
func writeNew(path string, text []byte) error {
	defer clear(text)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	// The umask may have taken bits that the owner needs.
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// syncDir brings the names in a directory to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
