// Package yamux holds tests against two other implementations of yamux,
// hashicorp's and libp2p's: as peers of a running server's lanes, and directly
// against our sessions.
package yamux

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	libp2p "github.com/libp2p/go-yamux/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// foreign is one session of a library.
type foreign interface {
	open() (stream, error)
	accept() (stream, error)
	Ping() (time.Duration, error)
	GoAway() error
	Close() error
	NumStreams() int
	CloseChan() <-chan struct{}
}

// stream is one stream of a library, as a lane: Close ends both directions.
type stream interface {
	net.Conn
	CloseWrite() error
	Abort() error
}

// library makes sessions in either role.
type library struct {
	name             string
	client, server   func(net.Conn) (foreign, error)
	resets           bool // it can send RST when asked
	staysAfterGoAway bool // a go-away of the peer leaves open streams alone
}

func libraries() []library {
	quiet := log.New(io.Discard, "", 0)
	hc := yamux.DefaultConfig()
	hc.LogOutput, hc.Logger = nil, quiet
	hc.ConnectionWriteTimeout = time.Minute // a loaded machine is no fault
	lp := libp2p.DefaultConfig()
	lp.LogOutput = io.Discard
	lp.ConnectionWriteTimeout = time.Minute
	return []library{
		{
			name:             "hashicorp",
			client:           func(c net.Conn) (foreign, error) { s, err := yamux.Client(c, hc); return hashicorpSession{s}, err },
			server:           func(c net.Conn) (foreign, error) { s, err := yamux.Server(c, hc); return hashicorpSession{s}, err },
			staysAfterGoAway: true,
		}, {
			name:   "libp2p",
			client: func(c net.Conn) (foreign, error) { s, err := libp2p.Client(c, lp, nil); return libp2pSession{s}, err },
			server: func(c net.Conn) (foreign, error) { s, err := libp2p.Server(c, lp, nil); return libp2pSession{s}, err },
			resets: true,
		},
	}
}

type hashicorpSession struct{ *yamux.Session }

func (s hashicorpSession) open() (stream, error) {
	st, err := s.OpenStream()
	return hashicorpStream{st}, err
}

func (s hashicorpSession) accept() (stream, error) {
	st, err := s.AcceptStream()
	return hashicorpStream{st}, err
}

// hashicorpStream knows no abort, and its Close is a half-close.
type hashicorpStream struct{ *yamux.Stream }

func (s hashicorpStream) CloseWrite() error { return s.Stream.Close() }
func (s hashicorpStream) Abort() error      { return s.Stream.Close() }

type libp2pSession struct{ *libp2p.Session }

func (s libp2pSession) open() (stream, error) {
	st, err := s.OpenStream(context.Background())
	return libp2pStream{st}, err
}

func (s libp2pSession) accept() (stream, error) {
	st, err := s.AcceptStream()
	return libp2pStream{st}, err
}

type libp2pStream struct{ *libp2p.Stream }

func (s libp2pStream) Abort() error { return s.Stream.Reset() }

// half is what the tests of echoes need of a stream of anybody.
type half interface {
	io.ReadWriter
	CloseWrite() error
}

// echo sends back what comes, and ends when that ends.
func echo(s half) error {
	if _, err := io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s}); err != nil {
		return fmt.Errorf("echoing: %w", err)
	}
	return s.CloseWrite()
}

// exchange sends size random bytes, ends its direction, and compares what
// comes back until the other end.
func exchange(s half, size int, seed byte) error {
	var wg sync.WaitGroup
	sent := sha256.New()
	var werr error
	wg.Go(func() {
		src := io.LimitReader(rand.NewChaCha8([32]byte{seed}), int64(size))
		_, err := io.Copy(struct{ io.Writer }{s}, io.TeeReader(src, sent))
		werr = errors.Join(err, s.CloseWrite())
	})
	got := sha256.New()
	n, err := io.Copy(got, struct{ io.Reader }{s})
	wg.Wait()
	if err := errors.Join(err, werr); err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", n, size, err)
	}
	if n != int64(size) || string(got.Sum(nil)) != string(sent.Sum(nil)) {
		return fmt.Errorf("got %d bytes back, want %d equal ones", n, size)
	}
	return nil
}

// many exchanges size bytes on each of 20 streams at once.
func many(t *testing.T, size int, open func() (half, error)) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range manyStreams {
		wg.Go(func() {
			s, err := open()
			if err == nil {
				err = exchange(s, size, byte(i))
			}
			if err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

const manyStreams = 20
