package switchboard

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Pauses of accept while there is no descriptor.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// reserve holds descriptors back. When there are no others they are let go, so
// that accept can take connections and close them, and what has to open a file
// can. Safe for concurrent use.
type reserve struct {
	size int

	mu   sync.Mutex
	held []*os.File
}

// whole takes back what was let go, and reports whether all is held.
func (r *reserve) whole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.held) < r.size {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return false
		}
		r.held = append(r.held, f)
	}
	return true
}

func (r *reserve) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.held {
		f.Close()
	}
	r.held = r.held[:0]
}

// hold takes the reserve for what listens on lns, and says when there are fewer
// descriptors than one would want.
func (s *Server) hold(lns []net.Listener) {
	inProcess := func(ln net.Listener) bool { _, ok := ln.(*Local); return ok }
	if !slices.ContainsFunc(lns, func(ln net.Listener) bool { return !inProcess(ln) }) {
		return
	}
	l := &s.cfg.Limits
	s.reserve.size = l.Admission.Reserve
	s.reserve.whole()
	if files := openFiles(); files > 0 && files < wantedFiles && l.Sessions < maxSessions {
		s.log.Warn("few descriptors: raise the limit of open files", "files", files, "wanted", wantedFiles,
			"sessions", l.Sessions, "half_open_net", l.Admission.HalfOpenNet, "half_open_unix", l.Admission.HalfOpenUnix)
	}
}

// outOfFiles reports whether an Accept error passes by itself.
func outOfFiles(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// accept only accepts, and closes what is not admitted: the handshake is the
// connection's own affair.
func (s *Server) accept(ctx, life context.Context, ln net.Listener, g gate) error {
	misses := 0 // Accepts without a descriptor, one after the other
	pause := time.Duration(0)
	heart := s.hearts.begin(ln)
	defer heart.over.Store(true)
	for {
		conn, err := s.acceptOn(ln, heart)
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		switch {
		case err == nil && s.reserve.whole():
			misses, pause = 0, 0
			if !s.calmly(func() {
				if v := s.admit(conn, g); v != nil {
					v.begin(func() { s.wg.Go(func() { s.serveConn(life, conn, v) }) }, s.calmly)
				}
			}) {
				conn.Close()
			}
			continue
		case err == nil: // there are still too few: it has its descriptor from the reserve
			conn.Close()
			s.adm.tally.count(closedScarce)
			pause = minPause
		case !outOfFiles(err):
			return err
		case misses == 0 && s.adm.shed():
			s.adm.tally.count(scarce)
			misses++
			continue // at once: there is room now
		default:
			s.adm.tally.count(scarce)
			s.adm.shed()
			s.reserve.letGo()
			misses++
			pause = min(max(2*pause, minPause), maxPause)
			s.adm.say(&s.adm.alarms, "accept has no descriptor", "address", ln.Addr().String(), "err", err, "pause", pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
