package channel_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// TestLink makes a link of each kind, with a listener of that kind and of both.
func TestLink(t *testing.T) {
	for _, kind := range linkKinds {
		for _, kinds := range [][]channel.Kind{{kind}, {channel.FD, channel.Net, "carrier pigeon", channel.Unix}} {
			t.Run(string(kind), func(t *testing.T) {
				dir := tidy(t)
				caller, callee := attempts()
				l := listenLink(t, callee, dir, kinds...)
				addr := addrOf(l, kind)
				a := accept(t.Context(), l, true)
				mine, err := dialLink(t, caller, kind, addr)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := a.wait(t)
				if err != nil {
					t.Fatal(err)
				}
				checkLink(t, mine, theirs)
				want := map[channel.Kind]shs.Mode{channel.Unix: shs.Plain, channel.Net: shs.Box}[kind]
				if mine.Mode() != want || theirs.Mode() != want || a.registered != 1 {
					t.Errorf("modes %v and %v, registered %d times", mine.Mode(), theirs.Mode(), a.registered)
				}
				if mine.RemoteKey() != linkCallee.Public() || theirs.RemoteKey() != linkCaller.Public() {
					t.Errorf("keys %v and %v", mine.RemoteKey(), theirs.RemoteKey())
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
					t.Errorf("after Accept there is %v", left)
				}
				if _, err := dialLink(t, caller, kind, addr); err == nil {
					t.Error("the secret served twice")
				}
				if _, err := l.Accept(t.Context(), nil); !errors.Is(err, net.ErrClosed) {
					t.Errorf("a second Accept: %v", err)
				}
				if err := l.Close(); err != nil {
					t.Errorf("Close after Accept: %v", err)
				}
			})
		}
	}
}

// TestLinkNetworkKey: both ends of another network, and one of each.
func TestLinkNetworkKey(t *testing.T) {
	dir := tidy(t)
	caller, callee := attempts()
	caller.Network = shs.NetworkKey{9}
	callee.Network = caller.Network
	l := listenLink(t, callee, dir, channel.Unix)
	a := accept(t.Context(), l, true)
	other := *caller
	other.Network = shs.DefaultNetworkKey()
	if _, err := dialLink(t, &other, channel.Unix, l.Unix()); !errors.Is(err, shs.ErrRefused) {
		t.Errorf("of the default network: %v", err)
	}
	if _, err := dialLink(t, caller, channel.Unix, l.Unix()); err != nil {
		t.Error(err)
	}
	if _, err := a.wait(t); err != nil {
		t.Error(err)
	}
}

// TestLinkRegistered: the callee registers before the caller knows.
func TestLinkRegistered(t *testing.T) {
	for _, kind := range linkKinds {
		dir := tidy(t)
		caller, callee := attempts()
		l := listenLink(t, callee, dir, kind)
		asked, answer := make(chan struct{}), make(chan bool)
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			link, err := l.Accept(t.Context(), func() bool { close(asked); return <-answer })
			if err != nil {
				t.Error(err)
				return
			}
			link.Abort()
		})
		dialled := make(chan struct{})
		addr := addrOf(l, kind)
		wg.Go(func() {
			defer close(dialled)
			link, err := caller.Dial(t.Context(), kind, addr)
			if err != nil {
				t.Error(err)
				return
			}
			link.Abort()
		})
		<-asked
		select {
		case <-dialled:
			t.Error("the caller knew before")
		case <-time.After(20 * time.Millisecond):
		}
		l.Close() // too late to end it
		answer <- true
		<-dialled
		wg.Wait()
	}
}

// TestLinkOver: the channel is over when the caller comes.
func TestLinkOver(t *testing.T) {
	for _, kind := range linkKinds {
		dir := tidy(t)
		caller, callee := attempts()
		l := listenLink(t, callee, dir, kind)
		a := accept(t.Context(), l, false)
		if _, err := dialLink(t, caller, kind, addrOf(l, kind)); !errors.Is(err, shs.ErrRefused) {
			t.Errorf("%s: dialled: %v", kind, err)
		}
		if _, err := a.wait(t); err == nil || a.registered != 1 {
			t.Errorf("%s: accepted: %v, asked %d times", kind, err, a.registered)
		}
	}
}

// TestLinkOnce: of many who hold the secret and the key one is served.
func TestLinkOnce(t *testing.T) {
	for _, kind := range linkKinds {
		dir := tidy(t)
		caller, callee := attempts()
		l := listenLink(t, callee, dir, linkKinds...)
		a := accept(t.Context(), l, true)
		addr := addrOf(l, kind)
		var wg sync.WaitGroup
		links := make(chan *shs.Conn, 8)
		for range cap(links) {
			wg.Go(func() {
				if link, err := caller.Dial(t.Context(), kind, addr); err == nil {
					links <- link
				}
			})
		}
		theirs, err := a.wait(t)
		if err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		close(links)
		if len(links) != 1 || a.registered != 1 {
			t.Errorf("%s: %d links, registered %d times", kind, len(links), a.registered)
		}
		for mine := range links {
			checkLink(t, mine, theirs)
			mine.Abort()
		}
	}
}

// TestLinkFiles: what is in the file system while a listener waits, whatever the
// umask, is for its own user.
func TestLinkFiles(t *testing.T) {
	dir := tidy(t)
	defer umask(0)()
	_, callee := attempts()
	l := listenLink(t, callee, dir, channel.Unix)
	if l.Port() != 0 {
		t.Errorf("it has port %d", l.Port())
	}
	above, err := os.Stat(filepath.Dir(l.Unix()))
	if err != nil || above.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the directory: %v, %v", above.Mode(), err)
	}
	sock, err := os.Stat(l.Unix())
	if err != nil || sock.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket: %v, %v", sock.Mode(), err)
	}
	other := listenLink(t, callee, dir, channel.Unix)
	if filepath.Dir(other.Unix()) == filepath.Dir(l.Unix()) {
		t.Error("two listeners share a directory")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(l.Unix())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

// TestLinkDefaultDir: the user's directory for such things, or the one of all.
func TestLinkDefaultDir(t *testing.T) {
	dir := tidy(t)
	run, tmp := filepath.Join(dir, "run"), filepath.Join(dir, "tmp")
	for _, d := range []string{run, tmp} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(d)
	}
	t.Setenv("TMPDIR", tmp)
	for _, row := range []struct{ env, want string }{
		{run, run}, {"", tmp}, {"run", tmp}, {filepath.Join(dir, "none"), tmp},
	} {
		t.Setenv("XDG_RUNTIME_DIR", row.env)
		_, callee := attempts()
		l, err := callee.Listen(linkKinds[:1], channel.ListenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(l.Unix(), row.want+"/") {
			t.Errorf("XDG_RUNTIME_DIR=%q: %s", row.env, l.Unix())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLinkLeftOut: a kind that is not to be had is left out; none is an error.
func TestLinkLeftOut(t *testing.T) {
	dir := tidy(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file)
	deep := filepath.Join(dir, strings.Repeat("d", 90))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(deep) // which fails if anything is in it
	_, callee := attempts()
	for _, row := range []struct {
		name string
		o    channel.ListenOptions
		left channel.Kind
		err  error // nil: any
	}{
		{"no directory", channel.ListenOptions{Dir: filepath.Join(dir, "none")}, channel.Unix, fs.ErrNotExist},
		{"a file", channel.ListenOptions{Dir: file}, channel.Unix, nil},
		{"too long", channel.ListenOptions{Dir: deep}, channel.Unix, channel.ErrLinkPath},
		{"a name as host", channel.ListenOptions{Dir: dir, Host: "localhost"}, channel.Net, channel.ErrLinkAddr},
		{"a foreign host", channel.ListenOptions{Dir: dir, Host: "192.0.2.1"}, channel.Net, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			l, err := callee.Listen(linkKinds, row.o)
			if err != nil {
				t.Fatal(err)
			}
			if (l.Unix() == "") != (row.left == channel.Unix) || (l.Port() == 0) != (row.left == channel.Net) {
				t.Errorf("it listens at %q and %d", l.Unix(), l.Port())
			}
			l.Close()
			if l, err := callee.Listen([]channel.Kind{row.left}, row.o); err == nil || row.err != nil && !errors.Is(err, row.err) {
				t.Errorf("alone: %v, %v, want %v", l, err, row.err)
			}
		})
	}
}

// TestLinkMisuse: what does not say enough, or the wrong thing.
func TestLinkMisuse(t *testing.T) {
	dir := tidy(t)
	caller, callee := attempts()
	listen := func(a *channel.Attempt, kinds ...channel.Kind) error {
		_, err := a.Listen(kinds, channel.ListenOptions{Dir: dir})
		return err
	}
	dial := func(a *channel.Attempt, kind channel.Kind) error {
		_, err := dialLink(t, a, kind, "127.0.0.1:1024")
		return err
	}
	keyless, peerless := *callee, *caller
	keyless.Key, peerless.Peer = shs.PrivateKey{}, shs.PublicKey{}
	for what, row := range map[string]struct{ got, want error }{
		"the caller listens":    {listen(caller, linkKinds...), channel.ErrLinkRole},
		"the callee dials":      {dial(callee, channel.Net), channel.ErrLinkRole},
		"no key":                {listen(&keyless, linkKinds...), channel.ErrLinkAttempt},
		"no peer":               {dial(&peerless, channel.Net), channel.ErrLinkAttempt},
		"listening for nothing": {listen(callee), channel.ErrLinkKind},
		"listening for fd":      {listen(callee, channel.FD, ""), channel.ErrLinkKind},
		"dialling fd":           {dial(caller, channel.FD), channel.ErrLinkKind},
	} {
		if !errors.Is(row.got, row.want) {
			t.Errorf("%s: %v, want %v", what, row.got, row.want)
		}
	}
}

// TestLinkEnds: every way in which a listener ends without a link.
func TestLinkEnds(t *testing.T) {
	const life = 500 * time.Millisecond // in which two come
	for _, row := range []struct {
		name string
		life time.Duration
		end  func(l *channel.LinkListener, cancel context.CancelFunc)
		want error
	}{
		{"context", time.Hour, func(_ *channel.LinkListener, cancel context.CancelFunc) { cancel() }, context.Canceled},
		{"close", time.Hour, func(l *channel.LinkListener, _ context.CancelFunc) { l.Close() }, net.ErrClosed},
		{"time", life, func(*channel.LinkListener, context.CancelFunc) {}, os.ErrDeadlineExceeded},
	} {
		for _, late := range []bool{false, true} { // Accept comes after the end
			if late && row.name == "context" {
				continue
			}
			t.Run(row.name, func(t *testing.T) {
				dir := tidy(t)
				caller, callee := attempts()
				l, err := callee.ListenFor(linkKinds, channel.ListenOptions{Dir: dir, Host: "127.0.0.1"}, row.life)
				if err != nil {
					t.Fatal(err)
				}
				unix, tcp := addrOf(l, channel.Unix), addrOf(l, channel.Net)
				rawLink(t, channel.Unix, unix) // somebody who says nothing
				rawLink(t, channel.Net, tcp)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if late {
					row.end(l, cancel)
					within(t, "the listener goes on", func() bool { _, err := os.Lstat(unix); return err != nil })
				}
				a := accept(ctx, l, true)
				if !late {
					row.end(l, cancel)
				}
				if _, err := a.wait(t); !errors.Is(err, row.want) || a.registered != 0 {
					t.Errorf("got %v, want %v; registered %d times", err, row.want, a.registered)
				}
				for kind, addr := range map[channel.Kind]string{channel.Unix: unix, channel.Net: tcp} {
					if _, err := dialLink(t, caller, kind, addr); err == nil {
						t.Errorf("%s: dialled after the end", kind)
					}
				}
			})
		}
	}
}

// TestLinkEndsRace ends the listener in the midst of a handshake, at all moments
// of it: whoever got a link has to have it, and nothing else may be left.
func TestLinkEndsRace(t *testing.T) {
	dir := tidy(t)
	const rounds, free = 124, 4
	took := time.Hour // of an attempt that nobody ends: the shortest of the first four
	var links, nothing, lost int
	for i := range rounds {
		caller, callee := attempts()
		kind := linkKinds[i%2]
		l := listenLink(t, callee, dir, linkKinds...)
		addr := addrOf(l, kind)
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		a := accept(ctx, l, true)
		var wg sync.WaitGroup
		wg.Go(func() {
			if link, err := caller.Dial(ctx, kind, addr); err == nil {
				link.Abort()
			}
		})
		if i >= free {
			wg.Go(func() {
				<-time.After(took * 2 * time.Duration(i-free) / (rounds - free))
				if i%4 < 2 {
					l.Close()
				} else {
					cancel()
				}
			})
		}
		<-a.done
		wg.Wait()
		cancel()
		if i < free {
			took = min(took, time.Since(begin))
		}
		l.Close()
		switch {
		case a.link != nil && a.registered == 1 && a.err == nil:
			a.link.Abort()
			links++
		case a.link == nil && a.registered == 0 && a.err != nil:
			nothing++
		case a.link == nil && a.registered == 1 && errors.Is(a.err, context.Canceled):
			lost++
		default:
			t.Errorf("%v and %v, registered %d times", a.link, a.err, a.registered)
		}
	}
	t.Logf("within %v: %d links, %d times nothing, %d lost after they were registered", took*2, links, nothing, lost)
}
