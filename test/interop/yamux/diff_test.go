package yamux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	libp2p "github.com/libp2p/go-yamux/v5"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// FuzzDifferential sends the same bytes to a server session of ours, cut
// anywhere, and to one of each library. Where the specification has nothing
// against them ours must live; where a library lives and ours does not, the
// reason is in the list of differences; and what arrives on each stream is the
// same.
func FuzzDifferential(f *testing.F) {
	for _, moves := range []string{
		"",
		"\x09\x01\x00\x00\x04\x01\x03\x00\x41\x01\x00\x00", // open, data, end
		"\x09\x01\x00\x00\x09\x03\x00\x00\x04\x03\x04\x00\x81\x03\x00\x00\x04\x01\x08\x00",
		"\x08\x01\x02\x00\x40\x01\x03\x00\x04\x01\x02\x00", // data after the end
		"\x09\x01\x00\x00\x04\x01\x0e\x00\x04\x01\x01\x00", // more than the window
		"\x09\xf2\x00\x00", "\x09\xf0\x00\x00", "\x04\xf7\x02\x00", // parity, zero, never opened
		"\x09\x01\x00\x00\x81\x01\x00\x00\x09\xf1\x00\x00",                 // used again
		"\x21\x00\x00\x00\x04\x00\x03\x00\x41\x00\x00\x00",                 // the stream that the server opened
		"\x12\x00\x02\x02\x22\x00\x02\x02\x03\x00\x00\x02\x04\x00\x02\x00", // pings, go-away, more
		"\x01\x00\x11\x00\x01\x00\x11\x00", "\x09\x05\x00\x00\x04\x05\x08\x01",
		"\x18\x01\x03\x00\x48\x03\x02\x00\x88\x05\x02\x00\xc8\x07\x01\x00\x44\x01\x02\x00",
	} {
		f.Add([]byte(moves), uint8(0), false)
		f.Add([]byte(moves), uint8(5), false)
	}
	f.Add([]byte("\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00"), uint8(3), true)
	f.Add([]byte("\x01\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00"), uint8(0), true)
	f.Fuzz(func(t *testing.T, in []byte, piece uint8, raw bool) {
		wire := in

		if !raw {
			wire = script(in)
		}
		facts := read(wire)
		for facts.short > 0 && facts.short <= 2*firstWindow { // else what follows would be swallowed
			wire = append(wire, make([]byte, facts.short)...)
			facts = read(wire)
		}
		wire = wire[:min(len(wire), facts.used)] // behind what ends a session there is nothing to compare
		ours := play(t, newOurs, wire, int(piece))
		if facts.strict == "" && facts.refused == "" && !ours.lives {
			t.Fatalf("ours ended with %v", ours.err)
		}
		if (facts.strict != "" || facts.refused != "") && ours.lives {
			t.Fatalf("ours lives after %s%s", facts.strict, facts.refused)
		}
		for _, lib := range []struct {
			name string
			make func(net.Conn) (player, error)
		}{{"hashicorp", newHashicorp}, {"libp2p", newLibp2p}} {
			if facts.short > 0 {
				continue // it may wait for more than anybody sends
			}
			theirs := play(t, lib.make, wire, 0)
			if !theirs.lives {
				continue
			}
			if !ours.lives {
				if facts.strict == "" {
					t.Fatalf("%s lives after %q, ours ended with %v", lib.name, facts.refused, ours.err)
				}
				continue // the difference that is written down
			}
			same(t, lib.name, facts, ours, theirs)
		}
	})
}

// same compares what arrived.
func same(t *testing.T, name string, facts facts, ours, theirs result) {
	ids := map[uint32]bool{2: true}
	for id := range ours.streams {
		ids[id] = true
	}
	for id := range theirs.streams {
		ids[id] = true
	}
	for id := range ids {
		a, b := ours.streams[id], theirs.streams[id]
		switch {
		case facts.resets[id]: // how much a reset leaves is up to each
			if !bytes.HasPrefix(a.got, b.got) && !bytes.HasPrefix(b.got, a.got) {
				t.Errorf("stream %d, which was reset: %s got %.20q (%d), ours %.20q (%d)", id, name, b.got, len(b.got), a.got, len(a.got))
			}
		case !bytes.Equal(a.got, b.got):
			t.Errorf("stream %d: %s got %.20q (%d), ours %.20q (%d)", id, name, b.got, len(b.got), a.got, len(a.got))
		case a.ended != b.ended || a.ended != facts.ends[id]:
			t.Errorf("stream %d: an end at %s: %v, ours: %v, sent: %v", id, name, b.ended, a.ended, facts.ends[id])
		}
	}
}

// player is a server session of anybody.
type player interface {
	open() (io.Reader, error)
	accept() (uint32, io.Reader, error)
	settle(near *testnet.Conn, r io.Reader) // reads of r no longer wait
	over() <-chan struct{}
	why() error
	close()
}

// result is what became of the bytes.
type result struct {
	lives   bool
	err     error
	streams map[uint32]arrived
}

// arrived is what came on a stream, and whether its end did.
type arrived struct {
	got   []byte
	ended bool
}

// last is the stream that is opened behind the bytes: who accepts it has taken
// all that came before, and lives.
const last = 0x7ffffff1

// play sends wire to a session, in pieces, and reads what has arrived.
func play(t *testing.T, start func(net.Conn) (player, error), wire []byte, piece int) result {
	near, far := testnet.PipeSize(4 << 20)
	s, err := start(far)
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	all := map[uint32]io.Reader{2: own}
	lives := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(io.Discard, near) })
	wg.Go(func() {
		for {
			id, r, err := s.accept()
			switch {
			case err != nil:
				return
			case id == last:
				close(lives)
				return
			}
			all[id] = r
		}
	})
	for rest := append(bytes.Clone(wire), frame(typeWindow, flagSYN, last, 0, "")...); len(rest) > 0; {
		n := len(rest)
		if piece > 0 {
			n = min(n, max(piece, len(wire)/64))
		}
		if _, err := near.Write(rest[:n]); err != nil {
			break // the session has ended
		}
		rest = rest[n:]
	}
	res := result{streams: make(map[uint32]arrived)}
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	select {
	case <-lives:
		res.lives = true
		for id, r := range all {
			s.settle(near, r)
			res.streams[id] = readAll(r)
		}
	case <-s.over():
		res.err = s.why()
	case <-late.C:
		res.err = errors.New("it neither takes the last stream nor ends")
	}
	near.Close() // a session that refuses waits for that
	s.close()
	wg.Wait()
	return res
}

// readAll reads until there is nothing. libp2p's gives bytes along with the
// timeout of their window update.
func readAll(r io.Reader) (a arrived) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		a.got = append(a.got, buf[:n]...)
		if err != nil && n == 0 {
			a.ended = err == io.EOF
			return a
		}
	}
}

type ourPlayer struct{ s *mux.Session }

func newOurs(c net.Conn) (player, error) {
	free := mux.NoRate // the rates are no part of the wire
	return ourPlayer{mux.Server(c, mux.Config{
		Backlog: 256, KeepAlive: -1,
		Rates: mux.Rates{Opens: free, Resets: free, Pings: free, Updates: free, Empty: free},
	})}, nil
}

func (p ourPlayer) open() (io.Reader, error) { return p.s.Open(context.Background()) }
func (p ourPlayer) accept() (uint32, io.Reader, error) {
	st, err := p.s.Accept(context.Background())
	if err != nil {
		return 0, nil, err
	}
	return st.ID(), st, nil
}

// settle ends the connection, which leaves what came before to be read.
func (p ourPlayer) settle(near *testnet.Conn, _ io.Reader) {
	near.CloseWrite()
	<-p.s.Done()
}
func (p ourPlayer) over() <-chan struct{} { return p.s.Done() }
func (p ourPlayer) why() error            { return p.s.Err() }
func (p ourPlayer) close()                { p.s.Abort(nil) }

type hashicorpPlayer struct{ s *yamux.Session }

func newHashicorp(c net.Conn) (player, error) {
	cfg := yamux.DefaultConfig()
	cfg.EnableKeepAlive = false
	cfg.StreamOpenTimeout, cfg.StreamCloseTimeout = 0, 0
	cfg.LogOutput, cfg.Logger = nil, log.New(io.Discard, "", 0)
	s, err := yamux.Server(c, cfg)
	return hashicorpPlayer{s}, err
}

func (p hashicorpPlayer) open() (io.Reader, error) { return p.s.OpenStream() }
func (p hashicorpPlayer) accept() (uint32, io.Reader, error) {
	st, err := p.s.AcceptStream()
	if err != nil {
		return 0, nil, err
	}
	return st.StreamID(), st, nil
}
func (p hashicorpPlayer) settle(_ *testnet.Conn, r io.Reader) {
	r.(*yamux.Stream).SetReadDeadline(time.Unix(1, 0)) // looked at when nothing is there
}
func (p hashicorpPlayer) over() <-chan struct{} { return p.s.CloseChan() }
func (p hashicorpPlayer) why() error            { return errors.New("ended") }
func (p hashicorpPlayer) close()                { p.s.Close() }

type libp2pPlayer struct{ s *libp2p.Session }

func newLibp2p(c net.Conn) (player, error) {
	cfg := libp2p.DefaultConfig()
	cfg.EnableKeepAlive = false
	cfg.LogOutput = io.Discard
	s, err := libp2p.Server(c, cfg, nil)
	return libp2pPlayer{s}, err
}

func (p libp2pPlayer) open() (io.Reader, error) { return p.s.OpenStream(context.Background()) }
func (p libp2pPlayer) accept() (uint32, io.Reader, error) {
	st, err := p.s.AcceptStream()
	if err != nil {
		return 0, nil, err
	}
	return st.StreamID(), st, nil
}
func (p libp2pPlayer) settle(_ *testnet.Conn, r io.Reader) {
	r.(*libp2p.Stream).SetReadDeadline(time.Unix(1, 0)) // as above
}
func (p libp2pPlayer) over() <-chan struct{} { return p.s.CloseChan() }
func (p libp2pPlayer) why() error            { return errors.New("ended") }
func (p libp2pPlayer) close()                { p.s.Close() }
