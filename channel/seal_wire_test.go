package channel_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
)

// TestSealMismatch: whatever the two ends do not agree on ends in a reset of
// both, in an error of the right kind, and in no channel.
func TestSealMismatch(t *testing.T) {
	for _, tt := range []struct {
		name           string
		change         func(caller, callee *channel.SealConfig)
		caller, callee error // what they say
	}{
		{"callee has another key", func(_, callee *channel.SealConfig) { callee.Key = thirdKey }, channel.ErrPeer, shs.ErrProof},
		{"callee expects another caller", func(_, callee *channel.SealConfig) { callee.Peer = thirdKey.Public() }, channel.ErrPeer, channel.ErrPeer},
		{"caller has another key", func(caller, _ *channel.SealConfig) { caller.Key = thirdKey }, channel.ErrPeer, channel.ErrPeer},
		{"caller expects another callee", func(caller, _ *channel.SealConfig) { caller.Peer = thirdKey.Public() }, channel.ErrPeer, shs.ErrProof},
		{"another name", func(caller, _ *channel.SealConfig) { caller.To += "2" }, mux.ErrReset, shs.ErrHello},
		{"another channel", func(caller, _ *channel.SealConfig) { caller.Channel[15]++ }, mux.ErrReset, shs.ErrHello},
		{"another network", func(caller, _ *channel.SealConfig) { caller.Network[0]++ }, mux.ErrReset, shs.ErrHello},
		{"two callers", func(caller, callee *channel.SealConfig) { callee.Caller = true }, nil, nil},
		{"callers of the same key", func(caller, callee *channel.SealConfig) {
			*callee = *caller
		}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b, over, stop := splicedLanes(t)
				defer stop()
				ca, cb := sealConfigs()
				tt.change(&ca, &cb)
				x, y, xerr, yerr := sealBoth(t.Context(), a, b, ca, cb)
				if x != nil || y != nil || xerr == nil || yerr == nil || tt.caller != nil && !errors.Is(xerr, tt.caller) || tt.callee != nil && !errors.Is(yerr, tt.callee) {
					t.Fatalf("got %v and %v", xerr, yerr)
				}
				if tt.caller == mux.ErrReset && errors.Is(xerr, channel.ErrPeer) {
					t.Errorf("the caller takes it for another key: %v", xerr)
				}
				if err := <-over; err == nil {
					t.Error("the relay saw no reset")
				}
			})
		})
	}
}

// TestSealTwoCallees: nobody speaks first, and the time runs out.
func TestSealTwoCallees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := sealPipes()
		ca, cb := sealConfigs()
		ca.Caller = false
		_, _, xerr, yerr := sealBoth(t.Context(), a, b, ca, cb)
		if xerr == nil || yerr == nil {
			t.Errorf("got %v and %v", xerr, yerr)
		}
	})
}

// TestSealBadConfig: what cannot be sealed is reset, too.
func TestSealBadConfig(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*channel.SealConfig)
	}{
		{"no key", func(c *channel.SealConfig) { c.Key = shs.PrivateKey{} }},
		{"no peer", func(c *channel.SealConfig) { c.Peer = shs.PublicKey{} }},
		{"a long name", func(c *channel.SealConfig) { c.To = strings.Repeat("a", 1<<16) }},
	} {
		for _, caller := range []bool{true, false} {
			a, b := sealPipes()
			cfg, callee := sealConfigs()
			if !caller {
				cfg = callee
			}
			tt.change(&cfg)
			if x, err := channel.Seal(t.Context(), a, cfg); x != nil || err == nil {
				t.Errorf("%s: got %v and %v", tt.name, x, err)
			}
			if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.ErrUnexpectedEOF {
				t.Errorf("%s: the other end reads %d bytes and %v", tt.name, n, err)
			}
		}
	}
}

// TestSealUnsealedPeer: an end that does not seal says anything but a hello.
func TestSealUnsealedPeer(t *testing.T) {
	garbage := bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 64)
	for _, tt := range []struct {
		name string
		talk func(b channel.Lane)
	}{
		{"garbage", func(b channel.Lane) { b.Write(garbage) }},
		{"a little garbage, then an end", func(b channel.Lane) { b.Write(garbage[:10]); b.CloseWrite() }},
		{"an end", func(b channel.Lane) { b.CloseWrite() }},
		{"zeros", func(b channel.Lane) { b.Write(make([]byte, 1024)) }},
		{"an echo", func(b channel.Lane) {
			buf := make([]byte, 1024)
			for n, err := b.Read(buf); err == nil; n, err = b.Read(buf) {
				b.Write(buf[:n])
			}
		}},
	} {
		for _, caller := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				a, b := sealPipes()
				cfg, callee := sealConfigs()
				if !caller {
					cfg = callee
				}
				done := make(chan struct{})
				go func() { tt.talk(b); close(done) }()
				x, err := channel.Seal(t.Context(), a, cfg)
				if x != nil || err == nil || errors.Is(err, channel.ErrPeer) {
					t.Errorf("%s: got %v and %v", tt.name, x, err)
				}
				<-done
				if _, err := io.ReadAll(b); err != io.ErrUnexpectedEOF {
					t.Errorf("%s: the other end reads %v", tt.name, err)
				}
			})
		}
	}
}

// meddler is a lane that changes what is written to it.
type meddler struct {
	channel.Lane
	at    int // the byte that is flipped, or -1
	cut   int // after so many bytes it ends, or -1
	clean bool
	tail  []byte // behind the last byte
	hold  chan struct{}
	wrote int
}

// errMeddled stands for what a lane that was cut says.
var errMeddled = errors.New("cut")

func (m *meddler) Write(p []byte) (int, error) {
	q := bytes.Clone(p)
	if i := m.at - m.wrote; m.at >= 0 && i >= 0 && i < len(q) {
		q[i] ^= 0x10
	}
	if m.cut >= 0 && m.wrote+len(q) > m.cut {
		q = q[:max(0, m.cut-m.wrote)]
	}
	n, err := m.Lane.Write(q)
	m.wrote += n
	if err == nil && n < len(p) {
		if m.clean {
			m.Lane.CloseWrite()
		} else {
			m.Lane.Abort()
		}
		err = errMeddled
	}
	return n, err
}

func (m *meddler) CloseWrite() error {
	if m.hold != nil {
		<-m.hold
	}
	m.Lane.Write(m.tail)
	return m.Lane.CloseWrite()
}

// Sizes of what goes over the wire, in bytes.
const (
	callerShake = 64 + 112
	calleeShake = 64 + 80
	boxHead     = 34
)

// sealTexts are written one by one, each a box; with the goodbye behind them.
var sealTexts = []string{"first", "and second", "3"}

// sealWire is the size of a direction behind the handshake.
func sealWire() (n int) {
	for _, text := range sealTexts {
		n += boxHead + len(text)
	}
	return n + boxHead
}

// whole is what is in the boxes that end before byte at of the direction.
func whole(at int) string {
	var got string
	for _, text := range sealTexts {
		if at -= boxHead + len(text); at < 0 {
			break
		}
		got += text
	}
	return got
}

// TestSealFlip flips every byte of both directions in turn: a handshake with one
// fails, and of a stream nothing is read but what stands before it.
func TestSealFlip(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 7
	}
	for _, byCaller := range []bool{true, false} {
		shake := calleeShake
		if byCaller {
			shake = callerShake
		}
		for at := 0; at < shake+sealWire(); at += step {
			synctest.Test(t, func(t *testing.T) { sealFlip(t, byCaller, shake, at) })
		}
	}
}

func sealFlip(t *testing.T, byCaller bool, shake, at int) {
	a, b := sealPipes()
	m := &meddler{at: at, cut: -1}
	if byCaller {
		m.Lane, a = a, m
	} else {
		m.Lane, b = b, m
	}
	ca, cb := sealConfigs()
	x, y, xerr, yerr := sealBoth(t.Context(), a, b, ca, cb)
	if !byCaller {
		x, y, xerr, yerr = y, x, yerr, xerr
	}
	// Now x is who writes, y who reads what was changed on the way.
	if at < shake {
		if yerr == nil || y != nil {
			t.Errorf("byte %d of the handshake, by the caller %v: sealed all the same", at, byCaller)
		}
		if x != nil { // the last message was changed
			if n, err := x.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("byte %d: who was content reads %d bytes and %v", at, n, err)
			}
			x.Abort()
		}
		return
	}
	if xerr != nil || yerr != nil {
		t.Fatalf("byte %d: %v, %v", at, xerr, yerr)
	}
	for _, text := range sealTexts {
		x.Write([]byte(text))
	}
	x.CloseWrite()
	got, err := io.ReadAll(y)
	if want := whole(at - shake); !errors.Is(err, shs.ErrProtocol) || string(got) != want {
		t.Errorf("byte %d: got %q and %v, want %q", at-shake, got, err, want)
	}
	if n, err := y.Read(make([]byte, 1)); n != 0 || !errors.Is(err, shs.ErrProtocol) {
		t.Errorf("byte %d: a later read gets %d bytes and %v", at-shake, n, err)
	}
	x.Abort()
	y.Abort()
}

// TestSealCut cuts a direction behind every byte, by a reset and by an end that
// whoever carries the channel makes up: the reader has the exact prefix, and an
// end of file only where the writer ended.
func TestSealCut(t *testing.T) {
	for _, clean := range []bool{false, true} {
		for at := range sealWire() + 1 {
			synctest.Test(t, func(t *testing.T) {
				a, b := sealPipes()
				m := &meddler{Lane: a, at: -1, cut: -1, clean: clean}
				x, y := sealed(t, m, b)
				m.wrote, m.cut = 0, at
				for _, text := range sealTexts {
					x.Write([]byte(text))
					synctest.Wait()
				}
				err := x.CloseWrite()
				if at < sealWire() != errors.Is(err, errMeddled) {
					t.Errorf("cut at %d: the writer gets %v", at, err)
				}
				got, err := io.ReadAll(y)
				all := at == sealWire()
				if all && err != nil || !all && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("cut at %d: the reader gets %v", at, err)
				}
				if want := whole(at); string(got) != want && clean || !strings.HasPrefix(want, string(got)) {
					t.Errorf("cut at %d: got %q, want %q", at, got, want)
				}
				x.Abort()
				y.Abort()
			})
		}
	}
}

// TestSealBehindGoodbye: behind the goodbye comes the end of the channel, and
// nothing else; Read waits for it as for any byte.
func TestSealBehindGoodbye(t *testing.T) {
	for _, tail := range []string{"", "\x00", "more"} {
		synctest.Test(t, func(t *testing.T) {
			a, b := sealPipes()
			m := &meddler{Lane: a, at: -1, cut: -1, tail: []byte(tail), hold: make(chan struct{})}
			x, y := sealed(t, m, b)
			x.Write([]byte("text"))
			done := make(chan struct{})
			go func() { x.CloseWrite(); close(done) }()
			synctest.Wait()
			y.SetReadDeadline(time.Now().Add(time.Second))
			if got, err := io.ReadAll(y); string(got) != "text" || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("before the end: got %q and %v", got, err)
			}
			y.SetReadDeadline(time.Time{})
			close(m.hold)
			<-done
			for range 2 {
				got, err := io.ReadAll(y)
				if len(got) > 0 || tail == "" && err != nil || tail != "" && !errors.Is(err, shs.ErrProtocol) {
					t.Errorf("%q behind the goodbye: got %q and %v", tail, got, err)
				}
			}
			x.Abort()
			y.Abort()
		})
	}
}

// TestSealResetBehindGoodbye: a reset is an error wherever it comes, and a reader
// that waits for the end is woken by its own Close.
func TestSealResetBehindGoodbye(t *testing.T) {
	for _, ours := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, b := sealPipes()
			m := &meddler{Lane: a, at: -1, cut: -1, hold: make(chan struct{})}
			theirs := &endings{Lane: b, hold: make(chan struct{})}
			x, y := sealed(t, m, theirs)
			done, read := make(chan struct{}), make(chan error)
			go func() { x.CloseWrite(); close(done) }()
			go func() {
				_, err := y.Read(make([]byte, 1))
				read <- err
			}()
			synctest.Wait()
			want := io.ErrUnexpectedEOF
			closed := make(chan struct{})
			if ours {
				want = net.ErrClosed
				go func() { y.Close(); close(closed) }()
			} else {
				a.Abort()
				close(closed)
			}
			if err := <-read; !errors.Is(err, want) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want %v", err, want)
			}
			close(theirs.hold)
			close(m.hold)
			<-done
			<-closed
			x.Abort()
			y.Abort()
		})
	}
}

// endings is a lane that notes how it was ended.
type endings struct {
	channel.Lane
	hold chan struct{} // Close waits for it, unless it is nil
	mu   sync.Mutex
	how  []string
}

func (e *endings) note(how string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.how); n == 0 || e.how[n-1] != how { // a second time changes nothing
		e.how = append(e.how, how)
	}
}

func (e *endings) CloseWrite() error { e.note("half"); return e.Lane.CloseWrite() }
func (e *endings) Abort() error      { e.note("abort"); return e.Lane.Abort() }
func (e *endings) Close() error {
	if e.hold != nil {
		<-e.hold
	}
	e.note("close")
	return e.Lane.Close()
}

// TestSealLaneEnds: what the lane below is told.
func TestSealLaneEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(x channel.Lane)
		want string
	}{
		{"half-close", func(x channel.Lane) { x.CloseWrite() }, "half"},
		{"close", func(x channel.Lane) { x.Close(); x.Close() }, "close"},
		{"half-close, close", func(x channel.Lane) { x.CloseWrite(); x.Close() }, "half close"},
		{"abort", func(x channel.Lane) { x.Abort() }, "abort"},
		{"close, abort", func(x channel.Lane) { x.Close(); x.Abort() }, "close abort"},
		{"close when nobody reads", func(x channel.Lane) {
			x.SetWriteDeadline(time.Now().Add(time.Second))
			x.Write(make([]byte, 1<<20))
			x.Close()
		}, "abort"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := sealPipes()
			lane := &endings{Lane: a}
			x, y := sealed(t, lane, b)
			tt.do(x)
			lane.mu.Lock()
			if got := strings.Join(lane.how, " "); got != tt.want {
				t.Errorf("%s: the lane was told %q, want %q", tt.name, got, tt.want)
			}
			lane.mu.Unlock()
			x.Abort()
			y.Abort()
		})
	}
}
