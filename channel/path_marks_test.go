package channel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// mark is a mark as it is on the wire.
func mark(kind byte, count uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, count)
}

// liar is an end that speaks the marks by itself, and the Path at the other.
type liar struct {
	path       *channel.Path
	lane       channel.Lane // its own
	link       *shs.Conn    // its own
	moved      chan error
	fromCaller bool
}

func newLiar(t *testing.T, r relay, caller bool) *liar {
	e := newEnds(t, r)
	l := &liar{path: e.callee, lane: r.caller, moved: make(chan error, 1), fromCaller: caller}
	if !caller {
		l.path, l.lane = e.caller, r.callee
	}
	a, b := lane(t)
	l.link = b
	if caller {
		l.path.Register()
	}
	e.wg.Go(func() { l.moved <- l.path.Move(t.Context(), a) })
	synctest.Wait()
	return l
}

// readMark takes the Path's mark, which a callee may wait for.
func (l *liar) readMark(t *testing.T) {
	if !l.fromCaller {
		recv(t, l.link, string(mark(1, 0)))
	}
}

// TestPathHoles: marks that do not fit. The reader gets a prefix of what has
// come over the lane, up to the count where that is known in time, then
// ErrHole.
func TestPathHoles(t *testing.T) {
	for _, c := range []struct {
		name  string
		lane  string
		ends  bool // on the lane
		mark  []byte
		first string // what is read before the mark comes
		want  string // what may be read behind it
	}{
		{"no mark", "hello", false, mark(2, 5), "hello", ""},
		{"garbage", "hello", false, []byte("GET / HTTP/1.1\r\n"), "", "hello"},
		{"one less, read", "hello", false, mark(1, 4), "hello", ""},
		{"one less, unread", "hello", false, mark(1, 4), "", "hell"},
		{"more, and the end", "hello", true, mark(1, 6), "", "hello"},
		{"more, and the end was read", "hello", true, mark(1, 6), "hello", ""},
		{"all bits", "hello", true, mark(1, 1<<64-1), "", "hello"},
		{"goes on behind its end", "hello", true, mark(1, 5), "hello", ""},
		{"ended at more", "hello", true, mark(0, 6), "", "hello"},
		{"ended at more, read", "hello", true, mark(0, 6), "hello", ""},
		{"ended at less", "hello", true, mark(0, 4), "", "hell"},
		{"ended at less, read", "hello", true, mark(0, 4), "hello", ""},
		{"goes on behind 00", "hello", false, mark(0, 4), "hell", ""},
	} {
		for _, caller := range []bool{true, false} {
			for _, r := range relays {
				t.Run(fmt.Sprintf("%s/%s/%v", c.name, r.name, caller), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						l := newLiar(t, r.make(t), caller)
						l.readMark(t)
						send(t, l.lane, c.lane)
						if c.ends {
							l.lane.CloseWrite()
						}
						recv(t, l.path, c.first)
						if c.ends && c.first != "" {
							recvAll(t, l.path, "") // it takes the end, too
						}
						l.link.Write(append(c.mark, "beyond"...))
						synctest.Wait()
						got, err := io.ReadAll(l.path)
						if !strings.HasPrefix(c.want, string(got)) {
							t.Errorf("read %q, may be %q", got, c.want)
						}
						if !errors.Is(err, channel.ErrHole) {
							t.Errorf("read ends with %v", err)
						}
						if err := <-l.moved; !errors.Is(err, channel.ErrHole) {
							t.Errorf("Move says %v", err)
						}
						if _, err := io.ReadAll(l.lane); err == nil {
							t.Error("the lane is not reset")
						}
					})
				})
			}
		}
	}
}

// TestPathFits: marks that fit, in every order of lane and link.
func TestPathFits(t *testing.T) {
	for _, c := range []struct {
		name string
		lane string
		ends bool
		mark []byte
		link string
	}{
		{"nothing", "", false, mark(1, 0), "there"},
		{"some", "hello", false, mark(1, 5), "there"},
		{"ended", "hello", true, mark(0, 5), ""},
		{"ended empty", "", true, mark(0, 0), ""},
	} {
		for _, laneFirst := range []bool{true, false} {
			for _, caller := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%v/%v", c.name, laneFirst, caller), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						l := newLiar(t, pipeRelay(t), caller)
						l.readMark(t)
						link := func() {
							l.link.Write(append(c.mark, c.link...))
							l.link.CloseWrite()
							synctest.Wait()
						}
						if !laneFirst {
							link()
						}
						send(t, l.lane, c.lane)
						if c.ends {
							l.lane.CloseWrite()
						}
						if laneFirst {
							link()
						}
						recvAll(t, l.path, c.lane+c.link)
						if err := <-l.moved; err != nil {
							t.Error(err)
						}
					})
				})
			}
		}
	}
}

// TestPathMarkCut: a mark that does not come whole is no mark.
func TestPathMarkCut(t *testing.T) {
	for _, goodbye := range []bool{true, false} {
		for n := range 9 {
			synctest.Test(t, func(t *testing.T) {
				l := newLiar(t, muxRelay(t), true)
				l.link.Write(mark(1, 0)[:n])
				if goodbye {
					l.link.CloseWrite()
				} else {
					l.link.Abort()
				}
				if err := <-l.moved; !errors.Is(err, channel.ErrUnmoved) {
					t.Errorf("behind %d bytes: %v", n, err)
				}
				send(t, l.lane, "still")
				recv(t, l.path, "still")
				send(t, l.path, "here")
				recv(t, l.lane, "here")
			})
		}
	}
}

// TestPathRelayLost: the lane ends or dies before the count.
func TestPathRelayLost(t *testing.T) {
	for _, r := range relays {
		for _, caller := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", r.name, caller), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLiar(t, r.make(t), caller)
					l.readMark(t)
					send(t, l.lane, "hel")
					l.link.Write(append(mark(1, 5), "beyond"...))
					recv(t, l.path, "hel")
					synctest.Wait()
					l.lane.Abort()
					began := time.Now()
					got, err := io.ReadAll(l.path)
					if len(got) > 0 || !errors.Is(err, channel.ErrRelayLost) {
						t.Errorf("read %q and %v", got, err)
					}
					if _, err := io.ReadAll(l.link); err == nil {
						t.Error("the link is not reset")
					}
					if err := <-l.moved; !errors.Is(err, channel.ErrRelayLost) {
						t.Errorf("Move says %v", err)
					}
					if d := time.Since(began); d > 0 {
						t.Errorf("it took %v", d)
					}
				})
			})
		}
	}
}
