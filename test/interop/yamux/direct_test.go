package yamux

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// These tests run our yamux sessions directly against the libraries'.

// direct runs f for each library in each role; f's last act ends both sides.
func direct(t *testing.T, cfg mux.Config, f func(t *testing.T, lib library, ours *mux.Session, theirs foreign)) {
	t.Helper()
	for _, lib := range libraries() {
		for _, role := range []string{"client", "server"} {
			t.Run(lib.name+" as "+role, func(t *testing.T) {
				a, b := testnet.Pipe()
				var ours *mux.Session
				var theirs foreign
				var err error
				if role == "client" {
					ours = mux.Server(a, cfg)
					theirs, err = lib.client(b)
				} else {
					ours = mux.Client(a, cfg)
					theirs, err = lib.server(b)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer ours.Close()
				defer theirs.Close()
				f(t, lib, ours, theirs)
			})
		}
	}
}

// both opens a stream from either side and yields both ends of each.
func both(t *testing.T, ours *mux.Session, theirs foreign, f func(t *testing.T, st *mux.Stream, other stream)) {
	t.Run("ours", func(t *testing.T) {
		st, err := ours.Open(host.Context(t))
		if err != nil {
			t.Fatal(err)
		}
		other, err := theirs.accept()
		if err != nil {
			t.Fatal(err)
		}
		f(t, st, other)
	})
	t.Run("theirs", func(t *testing.T) {
		other, err := theirs.open()
		if err != nil {
			t.Fatal(err)
		}
		st, err := ours.Accept(host.Context(t))
		if err != nil {
			t.Fatal(err)
		}
		f(t, st, other)
	})
}

func TestEcho(t *testing.T) {
	direct(t, mux.Config{}, func(t *testing.T, _ library, ours *mux.Session, theirs foreign) {
		ctx := host.Context(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range manyStreams {
				st, err := theirs.accept()
				if err != nil {
					t.Error(err)
					return
				}
				wg.Go(func() {
					if err := echo(st); err != nil {
						t.Error(err)
					}
				})
			}
		})
		many(t, 1<<20, func() (half, error) { return ours.Open(ctx) })
		wg.Wait()
		wg.Go(func() {
			for range manyStreams {
				st, err := ours.Accept(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				wg.Go(func() {
					if err := echo(st); err != nil {
						t.Error(err)
					}
				})
			}
		})
		many(t, 1<<20, func() (half, error) { return theirs.open() })
		wg.Wait()
		wait(t, "all streams are forgotten", func() bool { return ours.NumStreams() == 0 && theirs.NumStreams() == 0 })
	})
}

func TestHalfClose(t *testing.T) {
	direct(t, mux.Config{}, func(t *testing.T, _ library, ours *mux.Session, theirs foreign) {
		both(t, ours, theirs, func(t *testing.T, st *mux.Stream, other stream) {
			say(t, st, "one")
			if err := st.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			hear(t, other, "one", io.EOF)
			say(t, other, "two") // against the end of the other direction
			say(t, other, "three")
			if err := other.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			hear(t, st, "twothree", io.EOF)
		})
		both(t, ours, theirs, func(t *testing.T, st *mux.Stream, other stream) {
			say(t, other, "one")
			if err := other.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			hear(t, st, "one", io.EOF)
			say(t, st, "two")
			if err := st.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			hear(t, other, "two", io.EOF)
		})
		wait(t, "all streams are forgotten", func() bool { return ours.NumStreams() == 0 && theirs.NumStreams() == 0 })
	})
}

func TestReset(t *testing.T) {
	direct(t, mux.Config{}, func(t *testing.T, lib library, ours *mux.Session, theirs foreign) {
		both(t, ours, theirs, func(t *testing.T, st *mux.Stream, other stream) {
			pingPong(t, st, other)
			st.Abort()
			if n, err := io.Copy(io.Discard, other); err == nil {
				t.Errorf("our reset is a clean end after %d bytes", n)
			}
		})
		if lib.resets {
			both(t, ours, theirs, func(t *testing.T, st *mux.Stream, other stream) {
				pingPong(t, st, other)
				if err := other.Abort(); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, st); !errors.Is(err, mux.ErrReset) {
					t.Errorf("its reset: got %v, want %v", err, mux.ErrReset)
				}
			})
		}
		both(t, ours, theirs, exchangeByte) // the sessions live on
	})
}

// A stream that nobody accepts is reset at the backlog, and nothing else.
func TestBacklog(t *testing.T) {
	direct(t, mux.Config{Backlog: 4}, func(t *testing.T, _ library, ours *mux.Session, theirs foreign) {
		var opened []stream
		for range 8 {
			st, err := theirs.open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := st.Write([]byte("x")); err != nil {
				break // the reset came first
			}
			opened = append(opened, st)
		}
		for i, st := range opened {
			if i < 4 {
				continue
			}
			if _, err := io.Copy(io.Discard, st); err == nil {
				t.Errorf("stream %d over the backlog ended cleanly", i)
			}
		}
		for range 4 {
			st, err := ours.Accept(host.Context(t))
			if err != nil {
				t.Fatal(err)
			}
			st.Close()
		}
		both(t, ours, theirs, exchangeByte)
	})
}

func TestGoAway(t *testing.T) {
	direct(t, mux.Config{}, func(t *testing.T, lib library, ours *mux.Session, theirs foreign) {
		st, other := open(t, ours, theirs)
		if err := ours.GoAway(); err != nil {
			t.Fatal(err)
		}
		if !lib.staysAfterGoAway {
			select {
			case <-theirs.CloseChan(): // it takes a go-away for the end of everything
			case <-host.Context(t).Done():
				t.Fatal("our go-away went by")
			}
			if _, err := io.Copy(io.Discard, st); err == nil {
				t.Error("what its end has cut off ended cleanly")
			}
			return
		}
		wait(t, "the library opens nothing after our go-away", func() bool {
			st, err := theirs.open()
			if err == nil {
				st.Close()
			}
			return err != nil
		})
		exchangeByte(t, st, other) // what is open goes on
	})
}

func TestForeignGoAway(t *testing.T) {
	direct(t, mux.Config{}, func(t *testing.T, _ library, ours *mux.Session, theirs foreign) {
		st, other := open(t, ours, theirs)
		if err := theirs.GoAway(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ours.RemoteGoAway():
		case <-host.Context(t).Done():
			t.Fatal("its go-away went by")
		}
		if _, err := ours.Open(t.Context()); !errors.Is(err, mux.ErrGoAway) {
			t.Errorf("open after its go-away: got %v, want %v", err, mux.ErrGoAway)
		}
		exchangeByte(t, st, other) // what is open goes on
		wait(t, "all streams are forgotten", func() bool { return ours.NumStreams() == 0 })
		theirs.Close()
		<-ours.Done()
		if err := ours.Err(); !errors.Is(err, io.EOF) {
			t.Errorf("go-away and close: got %v, want %v", err, io.EOF)
		}
	})
}

// Either side answers the other's pings, and so idle sessions live.
func TestPing(t *testing.T) {
	direct(t, mux.Config{}, func(t *testing.T, _ library, ours *mux.Session, theirs foreign) {
		for range 10 { // a burst within the limit
			if _, err := theirs.Ping(); err != nil {
				t.Fatal(err)
			}
		}
		both(t, ours, theirs, exchangeByte)
	})
	for _, lib := range libraries() {
		t.Run("keepalive against "+lib.name, func(t *testing.T) {
			a, b := testnet.Pipe()
			counted := &pingCounter{Conn: a, want: 5, reached: make(chan struct{})}
			ours := mux.Client(counted, mux.Config{KeepAlive: 20 * time.Millisecond, DeadAfter: time.Minute})
			defer ours.Close()
			theirs, err := lib.server(b)
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			select {
			case <-counted.reached:
			case <-ours.Done():
				t.Fatalf("the session ended: %v", ours.Err())
			}
			both(t, ours, theirs, exchangeByte)
		})
	}
}

// pingCounter sees the answers to our pings in what is read.
type pingCounter struct {
	net.Conn
	want    int
	reached chan struct{}
}

func (c *pingCounter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	// An idle session reads one header at a time, or several whole ones.
	for b := p[:n]; len(b) >= 12; b = b[12:] {
		if b[1] == 2 && binary.BigEndian.Uint16(b[2:])&2 != 0 {
			if c.want--; c.want == 0 {
				close(c.reached)
			}
		}
	}
	return n, err
}

// The death of the connection is an error for both sides, never an end.
func TestCut(t *testing.T) {
	for _, lib := range libraries() {
		t.Run(lib.name, func(t *testing.T) {
			a, b := testnet.Pipe()
			ours := mux.Client(a, mux.Config{})
			defer ours.Close()
			theirs, err := lib.server(b)
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			both(t, ours, theirs, exchangeByte)
			st, err := ours.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b.Close()
			if _, err := io.Copy(io.Discard, st); err == nil {
				t.Error("a cut is a clean end")
			}
		})
	}
}

// A close without a go-away, which is all that the libraries' Close does, is
// no end in good order; ours is one for them.
func TestClose(t *testing.T) {
	direct(t, mux.Config{}, func(t *testing.T, _ library, ours *mux.Session, theirs foreign) {
		both(t, ours, theirs, exchangeByte)
		theirs.Close()
		<-ours.Done()
		if err := ours.Err(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
		}
	})
	direct(t, mux.Config{}, func(t *testing.T, _ library, ours *mux.Session, theirs foreign) {
		both(t, ours, theirs, exchangeByte)
		ours.Close()
		select {
		case <-theirs.CloseChan():
		case <-host.Context(t).Done():
			t.Error("our close did not end the library's session")
		}
	})
}

// open opens a stream of ours, and uses it, so that nothing is under way.
func open(t *testing.T, ours *mux.Session, theirs foreign) (*mux.Stream, stream) {
	t.Helper()
	st, err := ours.Open(host.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	other, err := theirs.accept()
	if err != nil {
		t.Fatal(err)
	}
	pingPong(t, st, other)
	return st, other
}
