package peersfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
)

func key(n byte) policy.Key { return policy.Key{n, 31: 1} }

func text(n byte) string { return policy.KeyText(key(n)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes the files of a fresh directory.
func write(t *testing.T, peers string) peersfile.Files {
	t.Helper()
	f := peersfile.Beside(filepath.Join(t.TempDir(), "authorized_peers"))
	if peers != "" {
		must(t, os.WriteFile(f.Peers, []byte(peers), 0o640))
	}
	return f
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func TestEdit(t *testing.T) {
	f := write(t, "# a\n"+text(1)+" level=basic # b\n")
	must(t, f.Edit(t.Context(), policy.Change{Action: policy.Add, Key: key(2), Comment: "c"}))
	if got := read(t, f.Peers); got != "# a\n"+text(1)+" level=basic # b\n"+text(2)+" # c\n" {
		t.Errorf("got %q", got)
	}
	fi, err := os.Stat(f.Peers)
	must(t, err)
	if fi.Mode() != 0o640 {
		t.Errorf("mode %v", fi.Mode())
	}
	before := read(t, f.Peers)
	for name, c := range map[string]policy.Change{
		"twice": {Action: policy.Add, Key: key(2)}, "nobody": {Action: policy.Remove, Key: key(3)},
		"bad option": {Action: policy.Set, Key: key(2), Options: []policy.Option{{Name: "colour", Value: "red"}}},
		"two lines":  {Action: policy.Add, Key: key(3), Comment: "a\n" + text(4)},
	} {
		if err := f.Edit(t.Context(), c); err == nil || read(t, f.Peers) != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nobody left is not nothing: an empty file might be one that is being written.
	must(t, f.Edit(t.Context(), policy.Change{Action: policy.Remove, Key: key(1)}, policy.Change{Action: policy.Remove, Key: key(2)}))
	must(t, os.WriteFile(f.Peers, []byte(text(1)), 0o600))
	must(t, f.Edit(t.Context(), policy.Change{Action: policy.Remove, Key: key(1)}))
	if got := read(t, f.Peers); !strings.HasPrefix(got, "#") {
		t.Errorf("got %q", got)
	}
}

// Editors at the same time, and files that one before has left unfinished.
func TestEditTogether(t *testing.T) {
	f := write(t, "")
	left := filepath.Join(filepath.Dir(f.Peers), ".authorized_peers.new-XXXX")
	must(t, os.WriteFile(left, []byte("@half"), 0o600))
	var wg sync.WaitGroup
	for n := range byte(20) {
		wg.Go(func() {
			if err := f.Edit(t.Context(), policy.Change{Action: policy.Add, Key: key(n)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	peers, err := f.ReadPeers()
	if err != nil || len(peers) != 20 {
		t.Errorf("%d lines, %v", len(peers), err)
	}
	if _, err := os.Lstat(left); err == nil {
		t.Error("the unfinished file is still there")
	}
}

// What somebody else could have written, or is none, is neither read nor replaced.
func TestUnsafe(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"others may write": func(p string) error { return os.Chmod(p, 0o666) },
		"symbolic link":    func(p string) error { return errors.Join(os.Rename(p, p+".real"), os.Symlink(p+".real", p)) },
		"directory":        func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"other owner": func(p string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(p, 0o666)
			}
			return os.Chown(p, 54321, -1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := write(t, text(1)+"\n")
			must(t, os.WriteFile(f.Revoked, nil, 0o600))
			must(t, os.WriteFile(f.Invites, nil, 0o600))
			for _, path := range []string{f.Peers, f.Revoked, f.Invites} {
				must(t, spoil(path))
			}
			_, err := f.ReadPeers()
			_, err2 := f.ReadRevoked()
			_, err3 := f.ReadInvites(time.Now())
			for _, err := range []error{err, err2, err3, f.Edit(t.Context(), policy.Change{Action: policy.Add, Key: key(2)}),
				f.Revoke(t.Context(), key(2), ""), f.AddInvite(t.Context(), time.Now(), 1, key(3), "", expires(time.Hour))} {
				if !errors.Is(err, peersfile.ErrUnsafe) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

func expires(d time.Duration) policy.Option {
	return policy.Option{Name: "expires", Value: policy.FormatExpires(time.Now().Add(d).UnixMilli())}
}

func TestRevoke(t *testing.T) {
	f := write(t, text(1)+"\n")
	must(t, os.WriteFile(f.Revoked, []byte("# old\n"+text(7)), 0o600))
	for range 2 {
		must(t, f.Revoke(t.Context(), key(2), " stolen "))
	}
	if got := read(t, f.Revoked); got != "# old\n"+text(7)+"\n"+text(2)+" # stolen\n" {
		t.Errorf("got %q", got)
	}
	if err := f.Revoke(t.Context(), key(3), "a\nb"); err == nil {
		t.Error("a comment of two lines was taken")
	}
	if err := f.Edit(t.Context(), policy.Change{Action: policy.Add, Key: key(2)}); !errors.Is(err, peersfile.ErrRevoked) {
		t.Errorf("adding a revoked key: %v", err)
	}
	must(t, os.WriteFile(f.Revoked, []byte(text(2)[:30]), 0o600)) // cut
	if _, err := f.ReadRevoked(); err == nil || !strings.Contains(err.Error(), "revoked_peers: line 1:") {
		t.Errorf("a cut file: %v", err)
	}
}

func TestRedeem(t *testing.T) {
	f, now := write(t, "# list\n"), time.Now()
	const most = 5
	own := policy.Option{Name: "own", Value: "org.example.*"}
	add := func(n byte, d time.Duration) error {
		return f.AddInvite(t.Context(), now, most, key(n), "bob", own, expires(d))
	}
	must(t, add(1, time.Hour))
	must(t, add(2, time.Hour))
	must(t, f.Redeem(t.Context(), now, key(1), key(11)))
	if got := read(t, f.Peers); got != "# list\n"+text(11)+" own=org.example.* # bob\n" {
		t.Errorf("got %q", got)
	}
	for _, row := range []struct {
		name      string
		invite, p byte
		want      error
		at        time.Time
	}{
		{"again", 1, 12, peersfile.ErrNoInvite, now}, {"never made", 9, 12, peersfile.ErrNoInvite, now},
		{"a listed key", 2, 11, policy.ErrPeer, now}, {"too late", 2, 12, peersfile.ErrNoInvite, now.Add(2 * time.Hour)},
	} {
		if err := f.Redeem(t.Context(), row.at, key(row.invite), key(row.p)); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v", row.name, err)
		}
	}
	// Cut off behind its first step: bound to one key, and finished at the next start.
	bound := strings.Replace(read(t, f.Invites), " # bob", " peer="+text(13)+" # bob", 1)
	must(t, os.WriteFile(f.Invites, []byte(bound), 0o600))
	if err := f.Redeem(t.Context(), now, key(2), key(14)); !errors.Is(err, peersfile.ErrTaken) {
		t.Errorf("of another's invite: %v", err)
	}
	if done, err := f.Finish(t.Context(), now); done != 1 || err != nil || !strings.Contains(read(t, f.Peers), text(13)+" own=") || read(t, f.Invites) != "" {
		t.Errorf("finished %d, %v: %q %q", done, err, read(t, f.Peers), read(t, f.Invites))
	}
	for n := range byte(most) {
		must(t, add(100+n, time.Hour))
	}
	if err := add(99, time.Hour); !errors.Is(err, peersfile.ErrInvites) {
		t.Errorf("one too many: %v", err)
	}
	must(t, f.RemoveInvite(t.Context(), now, key(100)))
	must(t, add(99, time.Hour))
	late := now.Add(2 * time.Hour)
	must(t, f.AddInvite(t.Context(), late, 1, key(50), "", policy.Option{Name: "expires", Value: policy.FormatExpires(late.Add(time.Hour).UnixMilli())}))
	if all, err := f.ReadInvites(late); err != nil || len(all) != 1 || strings.Count(read(t, f.Invites), "\n") != 1 {
		t.Errorf("expired invites are left: %d, %v", len(all), err)
	}
}

// A redemption that has begun in time is finished, however late that is and whatever
// happened to the other invites meanwhile.
func TestRedeemOutlivesInvite(t *testing.T) {
	begin := func() (f peersfile.Files, late time.Time) {
		f, now := write(t, "# list\n"), time.Now()
		must(t, f.AddInvite(t.Context(), now, 5, key(1), "", expires(time.Hour)))
		bound := strings.TrimSuffix(read(t, f.Invites), "\n") + " peer=" + text(11) + "\n"
		must(t, os.WriteFile(f.Invites, []byte(bound), 0o600))
		late = now.Add(2 * time.Hour)
		must(t, f.AddInvite(t.Context(), late, 5, key(2), "", expires(3*time.Hour)))
		if err := f.Redeem(t.Context(), late, key(1), key(12)); !errors.Is(err, peersfile.ErrTaken) {
			t.Errorf("by another key: %v", err)
		}
		return f, late
	}
	check := func(f peersfile.Files) {
		t.Helper()
		if got := read(t, f.Peers); !strings.Contains(got, text(11)) || strings.Contains(read(t, f.Invites), text(1)) {
			t.Errorf("listed %q, invites %q", got, read(t, f.Invites))
		}
	}
	f, late := begin()
	if done, err := f.Finish(t.Context(), late); done != 1 || err != nil {
		t.Errorf("finished %d, %v", done, err)
	}
	check(f)
	f, late = begin()
	must(t, f.Redeem(t.Context(), late, key(1), key(11)))
	check(f)
}

// A key that is revoked puts no other in its place, whoever of the two was first to
// wait for the files.
func TestRevokedRotatesNothing(t *testing.T) {
	f := write(t, text(1)+" level=trusted\n")
	must(t, f.Revoke(t.Context(), key(1), ""))
	before := read(t, f.Peers)
	if err := f.Rotate(t.Context(), key(1), key(2), time.Now().Add(time.Hour)); !errors.Is(err, peersfile.ErrRevoked) || read(t, f.Peers) != before {
		t.Errorf("got %v, and %q", err, read(t, f.Peers))
	}
}

// A key that was revoked while its redemption was cut off is told so, and not that it
// may come.
func TestRevokedRedeemsNothing(t *testing.T) {
	f := write(t, "# list\n")
	must(t, os.WriteFile(f.Invites, []byte(text(1)+" expires=2127-01-31T12:00:00Z peer="+text(2)+"\n"), 0o600))
	must(t, f.Revoke(t.Context(), key(2), ""))
	before := read(t, f.Invites)
	if err := f.Redeem(t.Context(), time.Now(), key(1), key(2)); !errors.Is(err, peersfile.ErrRevoked) || read(t, f.Invites) != before {
		t.Errorf("got %v, and %q", err, read(t, f.Invites))
	}
}
