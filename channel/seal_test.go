package channel_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
)

// sealPipe is an end of a pipe in memory as a Lane.
type sealPipe struct {
	*testnet.Conn
	mine, theirs *atomic.Bool // aborted
}

func sealPipes() (a, b channel.Lane) {
	x, y := testnet.Pipe()
	var xa, ya atomic.Bool
	return &sealPipe{x, &xa, &ya}, &sealPipe{y, &ya, &xa}
}

func (p *sealPipe) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if err == io.EOF && p.theirs.Load() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (p *sealPipe) Abort() error {
	p.mine.Store(true)
	return p.Conn.Close()
}

// splicedLanes returns the ends of a channel between two yamux sessions that a
// relay joins, what the relay said, and an end to it all.
func splicedLanes(t testing.TB) (a, b *mux.Stream, over <-chan error, stop func()) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var all []*mux.Session
	pair := func() (peer, server *mux.Session) {
		x, y := testnet.Pipe()
		peer, server = mux.Client(x, mux.Config{}), mux.Server(y, mux.Config{})
		all = append(all, peer, server)
		return peer, server
	}
	caller, fromCaller := pair()
	callee, toCallee := pair()
	a, err := caller.Open(ctx)
	must(err)
	sa, err := fromCaller.Accept(ctx)
	must(err)
	sb, err := toCallee.Open(ctx)
	must(err)
	b, err = callee.Accept(ctx)
	must(err)
	said := make(chan error, 1)
	new(channel.Pipe).Splice(sa, sb, func(err error) {
		if err != nil {
			sa.Reset(mux.ReasonReset)
			sb.Reset(mux.ReasonReset)
		}
		said <- err
	})
	return a, b, said, func() {
		for _, s := range all {
			s.Abort(nil)
		}
	}
}

// sealedKind is one way in which the lanes of a sealed channel are carried.
type sealedKind struct {
	name  string
	lanes func(t testing.TB) (a, b channel.Lane, stop func())
}

var sealedKinds = []sealedKind{
	{"pipe", func(testing.TB) (channel.Lane, channel.Lane, func()) {
		a, b := sealPipes()
		return a, b, func() {}
	}},
	{"spliced streams", func(t testing.TB) (channel.Lane, channel.Lane, func()) {
		a, b, _, stop := splicedLanes(t)
		return a, b, stop
	}},
}

var (
	callerKey = shs.NewPrivateKey([32]byte{11})
	calleeKey = shs.NewPrivateKey([32]byte{12})
	thirdKey  = shs.NewPrivateKey([32]byte{13})
)

// sealConfigs are what the two ends of a good handshake bring to it.
func sealConfigs() (caller, callee channel.SealConfig) {
	caller = channel.SealConfig{
		Caller: true, Key: callerKey, Channel: channel.ID{1}, To: "org.example.echo", Peer: calleeKey.Public(),
	}
	callee = channel.SealConfig{
		Key: calleeKey, Channel: channel.ID{1}, To: "org.example.echo", Peer: callerKey.Public(),
	}
	return caller, callee
}

// sealBoth seals both ends at once.
func sealBoth(ctx context.Context, a, b channel.Lane, ca, cb channel.SealConfig) (x, y channel.Lane, xerr, yerr error) {
	var wg sync.WaitGroup
	wg.Go(func() { y, yerr = channel.Seal(ctx, b, cb) })
	x, xerr = channel.Seal(ctx, a, ca)
	wg.Wait()
	return x, y, xerr, yerr
}

// sealed seals both ends of a channel, which must work.
func sealed(t testing.TB, a, b channel.Lane) (x, y channel.Lane) {
	t.Helper()
	ca, cb := sealConfigs()
	x, y, xerr, yerr := sealBoth(t.Context(), a, b, ca, cb)
	if xerr != nil || yerr != nil {
		t.Fatalf("sealing: %v, %v", xerr, yerr)
	}
	return x, y
}

// eachSealed runs f in a bubble with a sealed channel of each kind.
func eachSealed(t *testing.T, f func(t *testing.T, x, y channel.Lane)) {
	for _, kind := range sealedKinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b, stop := kind.lanes(t)
				defer stop()
				x, y := sealed(t, a, b)
				f(t, x, y)
				x.Abort()
				y.Abort()
			})
		})
	}
}

func TestSealNettest(t *testing.T) {
	for _, kind := range sealedKinds {
		t.Run(kind.name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b, end := kind.lanes(t)
				x, y := sealed(t, a, b)
				return x, y, func() { x.Abort(); y.Abort(); end() }, nil
			})
		})
	}
}

func TestSealHalfClose(t *testing.T) {
	eachSealed(t, func(t *testing.T, x, y channel.Lane) {
		for _, way := range []struct {
			from, to channel.Lane
			text     string
		}{{x, y, "question"}, {y, x, "answer"}} {
			if _, err := way.from.Write([]byte(way.text)); err != nil {
				t.Error(err)
			}
			for range 2 { // idempotent
				if err := way.from.CloseWrite(); err != nil {
					t.Error(err)
				}
			}
			for _, want := range []string{way.text, ""} { // an end stays one
				if got, err := io.ReadAll(way.to); string(got) != want || err != nil {
					t.Errorf("got %q and %v", got, err)
				}
			}
			if _, err := way.from.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a write after CloseWrite: %v", err)
			}
		}
	})
}

// TestSealClose: Close delivers what was written, and is an end to the other
// side; a reader of our own is woken.
func TestSealClose(t *testing.T) {
	text := bytes.Repeat([]byte("all of it "), 3000)
	eachSealed(t, func(t *testing.T, x, y channel.Lane) {
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := x.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the reader at the end that closes: %v", err)
			}
		})
		synctest.Wait()
		if _, err := x.Write(text); err != nil {
			t.Error(err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(y); !bytes.Equal(got, text) || err != nil {
			t.Errorf("got %d bytes and %v, want %d", len(got), err, len(text))
		}
		wg.Wait()
	})
}

// TestSealOrder: a sealed channel that ended in order ended so for the relay,
// and before anybody calls Close.
func TestSealOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, over, stop := splicedLanes(t)
		defer stop()
		x, y := sealed(t, a, b)
		x.Write([]byte("there"))
		x.CloseWrite()
		io.ReadAll(y)
		y.CloseWrite()
		io.ReadAll(x)
		if err := <-over; err != nil {
			t.Errorf("the relay says %v", err)
		}
		if x.Close() != nil || y.Close() != nil {
			t.Error("Close failed")
		}
	})
}

func TestSealAbort(t *testing.T) {
	eachSealed(t, func(t *testing.T, x, y channel.Lane) {
		x.Write([]byte("half a mess"))
		x.Abort()
		got, err := io.ReadAll(y)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix("half a mess", string(got)) {
			t.Errorf("got %q and %v", got, err)
		}
		if _, err := x.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read after Abort: %v", err)
		}
		if _, err := x.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after Abort: %v", err)
		}
	})
}

// TestSealReset: why the lane was reset is known inside.
func TestSealReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _, stop := splicedLanes(t)
		defer stop()
		x, y := sealed(t, a, b)
		b.Reset(mux.ReasonQuota)
		synctest.Wait()
		_, rerr := x.Read(make([]byte, 1))
		_, werr := x.Write(make([]byte, 1))
		for _, err := range []error{rerr, werr, x.CloseWrite()} {
			if reset, ok := errors.AsType[*mux.ResetError](err); !ok || reset.Reason != mux.ReasonReset || !errors.Is(err, mux.ErrReset) {
				t.Errorf("got %v", err)
			}
		}
		if !errors.Is(rerr, io.ErrUnexpectedEOF) {
			t.Errorf("the reader got %v", rerr)
		}
		x.Abort()
		y.Abort()
	})
}

// TestSealCloseStuck: what the other end does not take within a second is cut,
// and never looks like an end.
func TestSealCloseStuck(t *testing.T) {
	eachSealed(t, func(t *testing.T, x, y channel.Lane) {
		var wg sync.WaitGroup
		text := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
		wg.Go(func() {
			if _, err := x.Write(text); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the write that did not fit: %v", err)
			}
		})
		synctest.Wait()
		begin := time.Now()
		x.Close()
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		wg.Wait()
		got, err := io.ReadAll(y)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(text, got) {
			t.Errorf("got %d bytes and %v", len(got), err)
		}
	})
}

func TestSealDeadlines(t *testing.T) {
	eachSealed(t, func(t *testing.T, x, y channel.Lane) {
		x.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := x.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		x.SetReadDeadline(time.Time{})
		y.Write([]byte("late"))
		y.CloseWrite()
		if got, err := io.ReadAll(x); string(got) != "late" || err != nil {
			t.Errorf("after the deadline: got %q and %v", got, err)
		}
		x.SetWriteDeadline(time.Now().Add(-time.Second))
		if n, err := x.Write([]byte("never")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a write too late: %d and %v", n, err)
		}
		x.SetDeadline(time.Time{})
		x.Write([]byte("now"))
		x.CloseWrite()
		if got, err := io.ReadAll(y); string(got) != "now" || err != nil {
			t.Errorf("got %q and %v", got, err)
		}
	})
}

// TestSealTimeout: one deadline for all of the handshake, and behind it a reset.
func TestSealTimeout(t *testing.T) {
	for _, tt := range []struct {
		name   string
		caller bool
		ctx    time.Duration // 0: none
		want   time.Duration
	}{
		{"caller", true, 0, 5 * time.Second},
		{"callee", false, 0, 5 * time.Second},
		{"caller in a hurry", true, time.Second, time.Second},
		{"patient callee", false, 8 * time.Second, 8 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.ctx > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.ctx)
					defer cancel()
				}
				a, b := sealPipes()
				cfg, callee := sealConfigs()
				if !tt.caller {
					cfg = callee
				}
				begin := time.Now()
				x, err := channel.Seal(ctx, a, cfg)
				if took := time.Since(begin); x != nil || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, channel.ErrPeer) || took != tt.want {
					t.Errorf("got %v and %v after %v", x, err, took)
				}
				if _, err := io.ReadAll(b); err != io.ErrUnexpectedEOF {
					t.Errorf("the other end reads %v", err)
				}
			})
		})
	}
}
