package client

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// Bounds of files that the server has passed and not named.
const (
	maxFiles = 4
	fileLife = 10 * time.Second
)

var (
	errNoFile = errors.New("the socket that the server names has not come")
	errFile   = errors.New("what the server has passed is no Unix socket")
)

// files are what the server has passed to a session, by number, until it says
// what for. What it does not name in time is closed, the oldest if there are too
// many.
type files struct {
	mu   sync.Mutex
	on   bool // the session takes files
	next int
	kept map[int]*keptFile
	over bool
}

type keptFile struct {
	f     *os.File
	timer *time.Timer
}

// add takes the next file. It is called by the session's reader.
func (t *files) add(f *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.next
	t.next++
	if t.over {
		f.Close()
		return
	}
	if t.kept == nil {
		t.kept = make(map[int]*keptFile)
	}
	if len(t.kept) == maxFiles {
		oldest := n
		for i := range t.kept {
			oldest = min(oldest, i)
		}
		t.dropLocked(oldest)
	}
	t.kept[n] = &keptFile{f, time.AfterFunc(fileLife, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.dropLocked(n)
	})}
}

func (t *files) dropLocked(n int) {
	if k := t.kept[n]; k != nil {
		k.timer.Stop()
		k.f.Close()
		delete(t.kept, n)
	}
}

// take returns the file of a number. One that should have come before it was
// named and has not was dropped on the way: then the session asks for no more.
func (t *files) take(n int) (*os.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.kept[n]
	if k == nil {
		t.on = t.on && n < t.next
		return nil, errNoFile
	}
	k.timer.Stop()
	delete(t.kept, n)
	return k.f, nil
}

// works reports whether files come.
func (t *files) works() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.on
}

// close closes all, and those that still come.
func (t *files) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	for n := range t.kept {
		t.dropLocked(n)
	}
}

// passedLink makes a link of what the server has passed and named. That peer is
// at its other end is the server's word; nothing else is known of it.
func (s *session) passedLink(n int, peer shs.PublicKey) (*shs.Conn, error) {
	f, err := s.files.take(n)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	if _, ok := conn.(*net.UnixConn); !ok {
		conn.Close()
		return nil, errFile
	}
	return shs.Vouched(conn, peer), nil
}

// kinds are those that the session can make links of, in order.
func (s *session) kinds() []channel.Kind { return s.passable(s.c.kinds()) }

// passable leaves fd out where no files come.
func (s *session) passable(kinds []channel.Kind) []channel.Kind {
	if s.files.works() {
		return kinds
	}
	return without(kinds, channel.FD)
}
