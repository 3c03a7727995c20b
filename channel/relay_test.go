package channel_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
)

// lane returns the two ends of a lane: a peer's and the server's.
func lane(t testing.TB) (peer, server *shs.Conn) {
	t.Helper()
	a, b := testnet.Pipe()
	key := shs.NewPrivateKey([32]byte{1})
	peer = shs.Client(a, &shs.Config{Key: shs.NewPrivateKey([32]byte{2}), ServerKey: key.Public()})
	server = shs.Server(b, &shs.Config{Key: key})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Handshake(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if err := peer.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return peer, server
}

// relayed runs f with the two ends of a relayed channel, and returns what the
// relay said.
func relayed(t *testing.T, f func(a, b *shs.Conn, p *channel.Pipe)) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, sa := lane(t)
		b, sb := lane(t)
		p := channel.Pipe{Pace: [2]*mux.Pace{new(mux.Pace), new(mux.Pace)}}
		var wg sync.WaitGroup
		wg.Go(func() { err = p.Relay(channel.NewPool(), sa, sb) })
		f(a, b, &p)
		wg.Wait()
		a.Close()
		b.Close()
	})
	return err
}

func TestRelayBothWays(t *testing.T) {
	there, back := make([]byte, 1<<20), make([]byte, 1<<19)
	rng := rand.NewChaCha8([32]byte{})
	rng.Read(there)
	rng.Read(back)
	var p *channel.Pipe
	err := relayed(t, func(a, b *shs.Conn, pipe *channel.Pipe) {
		p = pipe
		var wg sync.WaitGroup
		send := func(c *shs.Conn, data []byte) {
			wg.Go(func() {
				if _, err := c.Write(data); err != nil {
					t.Error(err)
				}
				if err := c.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
		}
		recv := func(c *shs.Conn, want []byte) {
			wg.Go(func() {
				if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %d bytes and %v, want %d", len(got), err, len(want))
				}
			})
		}
		send(a, there)
		send(b, back)
		recv(b, there)
		recv(a, back)
		wg.Wait()
	})
	if err != nil {
		t.Error(err)
	}
	if ab, ba := p.Counts(); ab != int64(len(there)) || ba != int64(len(back)) {
		t.Errorf("counted %d and %d", ab, ba)
	}
}

// TestRelayHalfClose: one direction ends, the other goes on.
func TestRelayHalfClose(t *testing.T) {
	err := relayed(t, func(a, b *shs.Conn, _ *channel.Pipe) {
		a.Write([]byte("question"))
		a.CloseWrite()
		if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
			t.Errorf("got %q and %v", got, err)
		}
		b.Write([]byte("answer"))
		b.CloseWrite()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("got %q and %v", got, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRelayAbort: a cut on one side is an error on the other, never an end,
// and the side is told before the reset.
func TestRelayAbort(t *testing.T) {
	for _, side := range []channel.Side{channel.A, channel.B} {
		t.Run(string(rune(side)), func(t *testing.T) {
			var broke []channel.Side
			err := relayed(t, func(a, b *shs.Conn, p *channel.Pipe) {
				p.Broke = func(s channel.Side, _ error) { broke = append(broke, s) }
				victim, survivor := a, b
				if side == channel.B {
					victim, survivor = b, a
				}
				victim.Write([]byte("half a mess"))
				victim.Abort()
				got, err := io.ReadAll(survivor)
				if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix("half a mess", string(got)) {
					t.Errorf("got %q and %v", got, err)
				}
			})
			var lane *channel.LaneError
			if !errors.As(err, &lane) || lane.Side != side || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("relay says %v", err)
			}
			if len(broke) != 1 || broke[0] != side {
				t.Errorf("broke was called with %v", broke)
			}
		})
	}
}

// TestRelayBackPressure: what the relay holds for a reader that does not read
// is bounded; the writer waits.
func TestRelayBackPressure(t *testing.T) {
	relayed(t, func(a, b *shs.Conn, p *channel.Pipe) {
		var wrote int
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				n, err := a.Write(make([]byte, 4096))
				wrote += n
				if err != nil {
					return
				}
			}
		})
		synctest.Wait()
		if n, _ := p.Counts(); n > 1<<20 {
			t.Errorf("the relay passed %d bytes on to a reader that does not read", n)
		}
		b.Abort()
		wg.Wait()
		if wrote > 1<<20 {
			t.Errorf("the writer got rid of %d bytes", wrote)
		}
	})
}

func TestID(t *testing.T) {
	id := channel.NewID()
	if got, err := channel.ParseID(id.String()); err != nil || got != id {
		t.Errorf("got %v and %v", got, err)
	}
	for _, s := range []string{"", id.String()[1:], strings.ToUpper("ab" + id.String()[2:]), strings.Repeat("g", 32), id.String() + "00"} {
		if _, err := channel.ParseID(s); !errors.Is(err, channel.ErrID) {
			t.Errorf("ParseID(%q) = %v", s, err)
		}
	}
}

// TestRelayPace: a bound on bytes per second holds for the side that it is of.
func TestRelayPace(t *testing.T) {
	err := relayed(t, func(a, b *shs.Conn, p *channel.Pipe) {
		p.Pace[0].SetRate(10_000)
		var wg sync.WaitGroup
		defer wg.Wait()
		there := func(from, to *shs.Conn) time.Duration {
			began := time.Now()
			wg.Go(func() {
				if _, err := from.Write(make([]byte, 50_000)); err != nil {
					t.Error(err)
				}
			})
			if _, err := io.ReadFull(to, make([]byte, 50_000)); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		if took := there(a, b); took < 3*time.Second || took > 6*time.Second {
			t.Errorf("50,000 bytes at 10,000/s took %v", took)
		}
		if took := there(b, a); took != 0 {
			t.Errorf("without a bound they took %v", took)
		}
		for _, ends := range [][2]*shs.Conn{{a, b}, {b, a}} {
			ends[0].CloseWrite()
			io.ReadAll(ends[1])
		}
	})
	if err != nil {
		t.Error(err)
	}
}
