package mux_test

import (
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// violations is what no peer may do, after it has opened stream 1 (F27).
var violations = []struct {
	name   string
	frames []frame
}{
	{"open with an even id", []frame{open(2)}},
	{"open with id 0", []frame{open(0)}},
	{"data with id 0", []frame{text(0, "x")}},
	{"open of a live stream", []frame{open(1)}},
	{"open of an ended stream", []frame{open(3), flags(3, rst), open(3)}},
	{"data that opens a live stream", []frame{{data, syn, 1, 1, "x"}}},
	{"data on a stream that was never opened", []frame{text(5, "x")}},
	{"window for a stream that was never opened", []frame{update(5, 1)}},
	{"reset of a stream that was never opened", []frame{flags(7, rst)}},
	{"answer to an open that never was", []frame{flags(2, ack)}},
	{"data after the end", []frame{flags(1, fin), text(1, "x")}},
	{"data after data with the end", []frame{{data, fin, 1, 1, "x"}, text(1, "x")}},
	{"one byte more than the window", []frame{claim(1, initial+1)}},
	{"one byte more than the window, later", []frame{text(1, strings.Repeat("x", initial)), text(1, "x")}},
	{"length 2³²−1", []frame{claim(1, math.MaxUint32)}},
	{"length 2³²−1 on an ended stream", []frame{open(3), flags(3, rst), claim(3, math.MaxUint32)}},
	{"length 2³²−1 with the open", []frame{{typ: data, flags: syn, id: 3, length: math.MaxUint32}}},
	{"window that wraps", []frame{update(1, math.MaxUint32)}},
	{"window that wraps in small steps", []frame{update(1, 1<<31), update(1, 1<<31)}},
	{"ping of a stream", []frame{{typ: ping, flags: syn, id: 1}}},
	{"go-away of a stream", []frame{{typ: goAway, id: 1}}},
	{"type 4", []frame{{typ: 4, id: 1}}},
	{"type 255", []frame{{typ: 255}}},
}

// Each violation ends its session, with a go-away, and is an error to streams
// that are open.
func TestViolations(t *testing.T) {
	for _, v := range violations {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer := rawClient(t, mux.Config{})
				peer.send(open(1))
				st, err := s.Accept(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				peer.want(flags(1, ack))
				peer.send(v.frames...)
				peer.want(leave(1))
				if _, err := peer.next(); err != io.EOF {
					t.Errorf("after the go-away: got %v, want io.EOF", err)
				}
				peer.Close()
				<-s.Done()
				if !errors.Is(s.Err(), mux.ErrProtocol) {
					t.Errorf("session: got %v, want ErrProtocol", s.Err())
				}
				if _, err := st.Write([]byte("x")); !errors.Is(err, mux.ErrProtocol) {
					t.Errorf("Write: got %v, want ErrProtocol", err)
				}
				if _, err := s.Open(t.Context()); !errors.Is(err, mux.ErrProtocol) {
					t.Errorf("Open: got %v, want ErrProtocol", err)
				}
				if _, err := s.Accept(t.Context()); !errors.Is(err, mux.ErrProtocol) {
					t.Errorf("Accept: got %v, want ErrProtocol", err)
				}
			})
		})
	}
}

func TestWrongVersion(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	b := bytesOf(open(1))
	b[0] = 1
	peer.Write(b)
	peer.want(leave(1))
	peer.Close()
	<-s.Done()
	if !errors.Is(s.Err(), mux.ErrProtocol) {
		t.Errorf("got %v, want ErrProtocol", s.Err())
	}
}

// TestTolerated is the table of what is odd and harms nobody: it is dropped.
func TestTolerated(t *testing.T) {
	for _, v := range []struct {
		name   string
		frames []frame
	}{
		{"end twice", []frame{flags(1, fin), flags(1, fin)}},
		{"answers to an open, many", []frame{flags(1, ack), flags(1, ack), flags(1, ack)}},
		{"answer to a ping that never was", []frame{pinged(ack, 9)}},
		{"ping without a flag", []frame{pinged(0, 9)}},
		{"data on an ended stream", []frame{flags(1, rst), text(1, "x"), text(1, "y")}},
		{"window for an ended stream", []frame{flags(1, rst), update(1, math.MaxUint32)}},
		{"reset of an ended stream", []frame{flags(1, rst), flags(1, rst)}},
		{"end of an ended stream", []frame{flags(1, rst), flags(1, fin)}},
		{"reset with a reason", []frame{{typ: window, flags: rst, id: 1, length: math.MaxUint32}}},
		{"reset with data", []frame{{data, rst, 1, 3, "abc"}}},
		{"unknown flags", []frame{flags(1, 0xfff0)}},
		{"open and reset in one", []frame{flags(3, syn|rst)}},
		{"opens out of order", []frame{open(7), flags(7, rst), open(3), flags(3, rst), open(5), flags(5, rst)}},
	} {
		t.Run(v.name, func(t *testing.T) {
			s, peer := rawClient(t, mux.Config{})
			peer.send(open(1), open(9))
			for range 2 {
				if _, err := s.Accept(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			peer.want(flags(1, ack), flags(9, ack))
			peer.send(v.frames...)
			peer.alive()
			if s.NumStreams() == 0 {
				t.Error("the other stream is gone")
			}
		})
	}
}

func TestDataWithFlags(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	peer.send(frame{data, syn | fin, 1, 5, "hello"})
	st, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peer.want(flags(1, ack))
	if got, err := io.ReadAll(st); string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	st.Write([]byte("bye"))
	st.Close()
	peer.want(text(1, "bye"), flags(1, fin))
	peer.alive()
	if n := s.NumStreams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// FIN on a data frame counts after the data, also when that comes in pieces.
func TestFINAfterItsData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := rawClient(t, mux.Config{})
		peer.send(open(1))
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f := frame{data, fin, 1, 5, "hel"}
		peer.Write(f.encode())
		time.AfterFunc(30*time.Second, func() { peer.Write([]byte("lo")) })
		if got, err := io.ReadAll(st); string(got) != "hello" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestWindowUpdates(t *testing.T) {
	s, peer := rawClient(t, mux.Config{Window: 1 << 20})
	peer.send(open(1))
	st, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peer.want(frame{window, ack, 1, 1<<20 - initial, ""})
	chunk := strings.Repeat("x", 256<<10)
	p := make([]byte, len(chunk))
	for range 4 {
		peer.send(text(1, chunk))
	}
	for range 2 {
		if _, err := io.ReadFull(st, p); err != nil {
			t.Fatal(err)
		}
	}
	peer.want(update(1, 512<<10))
	for range 2 {
		peer.send(text(1, chunk))
	}
	peer.alive()

	// The window of the other direction.
	if n, err := st.Write([]byte("abc")); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	peer.want(text(1, "abc"))
	st.SetWriteDeadline(time.Now().Add(-1))
	if n, err := st.Write(p); n != 0 || !isTimeout(err) {
		t.Errorf("Write after its deadline: got %d, %v", n, err)
	}
}

// A Write that times out has queued exactly what it returns.
func TestWriteDeadlineIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := rawClient(t, mux.Config{KeepAlive: -1, DeadAfter: -1})
		peer.send(open(1))
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peer.want(flags(1, ack))
		st.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := st.Write(make([]byte, 1<<20))
		if n != initial || !isTimeout(err) {
			t.Fatalf("got %d, %v, want the window and a timeout", n, err)
		}
		peer.send(update(1, 1<<20)) // too late for that Write
		st.SetWriteDeadline(time.Time{})
		st.Write([]byte("more"))
		st.CloseWrite()
		got := 0
		for {
			f, err := peer.next()
			if err != nil {
				t.Fatal(err)
			}
			if f == flags(1, fin) {
				break
			}
			got += len(f.body)
		}
		if got != n+4 {
			t.Errorf("%d bytes have left, want %d", got, n+4)
		}
	})
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Close lets the peer finish or be told, and does not leave it waiting for
// window.
func TestCloseWithUnread(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	peer.send(open(1), text(1, strings.Repeat("x", initial)))
	st, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peer.want(flags(1, ack))
	peer.alive() // all has arrived
	st.Write([]byte("answer"))
	st.Close()
	if _, err := st.Read(make([]byte, 1)); err != net.ErrClosed {
		t.Errorf("Read: got %v, want net.ErrClosed", err)
	}
	if _, err := st.Write(make([]byte, 1)); err != net.ErrClosed {
		t.Errorf("Write: got %v, want net.ErrClosed", err)
	}
	var seen []frame
	for len(seen) < 3 {
		f, err := peer.next()
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, f)
	}
	sum := uint32(0)
	for _, f := range seen {
		if f.typ == window && f.flags == 0 {
			sum += f.length
		}
	}
	if sum != initial || seen[len(seen)-1] != flags(1, fin) {
		t.Errorf("got %v", seen)
	}
	for range 1000 { // however much comes, one answer
		peer.send(text(1, "y"))
	}
	peer.want(flags(1, rst))
	peer.alive()
	if n := s.NumStreams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// What came before FIN stays, though RST follows; without FIN it goes.
func TestResetAndUnread(t *testing.T) {
	for _, c := range []struct {
		name  string
		after frame
		want  string
		err   error
	}{
		{"after the end", flags(1, fin), "unread", nil},
		{"before the end", update(1, 0), "", mux.ErrReset},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, peer := rawClient(t, mux.Config{})
			peer.send(open(1), text(1, "unread"), c.after)
			st, err := s.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			peer.want(flags(1, ack))
			peer.send(flags(1, rst))
			peer.alive()
			if got, err := io.ReadAll(st); string(got) != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, c.want, c.err)
			}
			if _, err := st.Write([]byte("x")); !errors.Is(err, mux.ErrReset) {
				t.Errorf("Write: got %v, want ErrReset", err)
			}
			if err := st.CloseWrite(); !errors.Is(err, mux.ErrReset) {
				t.Errorf("CloseWrite: got %v, want ErrReset", err)
			}
			if n := s.NumStreams(); n != 0 {
				t.Errorf("%d streams are left", n)
			}
		})
	}
}

func TestGoAway(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	peer.send(open(1))
	st, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peer.want(flags(1, ack))
	if err := errors.Join(s.GoAway(), s.GoAway()); err != nil {
		t.Fatal(err)
	}
	peer.want(leave(0))
	peer.send(open(3), text(1, "still"))
	peer.want(refused(3))
	p := make([]byte, 10)
	if n, err := st.Read(p); string(p[:n]) != "still" || err != nil {
		t.Errorf("got %q, %v", p[:n], err)
	}
	peer.send(leave(0))
	<-s.RemoteGoAway()
	if _, err := s.Open(t.Context()); err != mux.ErrGoAway {
		t.Errorf("Open: got %v, want ErrGoAway", err)
	}
	st.Close()
	peer.want(flags(1, fin))
	peer.send(flags(1, fin))
	peer.alive()
	peer.CloseWrite()
	<-s.Done()
	if s.Err() != io.EOF {
		t.Errorf("clean end: got %v, want io.EOF", s.Err())
	}
	if _, err := peer.next(); err != io.EOF {
		t.Errorf("got %v, want io.EOF", err)
	}
}

func TestPeerEndsWithCode(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	peer.send(open(1), text(1, "x"), leave(2))
	<-s.Done()
	var away *mux.GoAwayError
	if !errors.As(s.Err(), &away) || away.Code != 2 {
		t.Errorf("got %v, want a GoAwayError with code 2", s.Err())
	}
}
