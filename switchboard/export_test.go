package switchboard

import (
	"fmt"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/shs"
)

// AuditThatPanics is an audit log whose writer panics when it is to sign, a minute
// after its first record.
func AuditThatPanics() (*Audit, error) {
	log, err := audit.Open(audit.Config{Sign: func([]byte) []byte { panic("a trap") }})
	return &Audit{log: log}, err
}

// Leftovers says what a server that has stopped still has in its books, or "".
// Moved channels outlive it. Every charge is given back: it is looked at to the
// byte.
func (s *Server) Leftovers() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions, held := 0, s.held.Held()
	for _, k := range s.keys {
		sessions += k.sessions
		if k.budget != nil {
			held = max(held, k.budget.Held())
		}
	}
	_, entries := s.registry.Snapshot(s.started)
	if len(s.sessions)+len(s.watches)+len(s.offers)+len(s.links)+len(s.moved.of)+s.total+sessions+len(entries)+len(s.owned) == 0 && held == 0 && s.matchers.empty() {
		return ""
	}
	return fmt.Sprintf("%d sessions, %d watches, %d offers, %d links, %d sessions with moved channels, %d logins, %d sessions of keys, %d bytes held, %d names, %d tenants with names",
		len(s.sessions), len(s.watches), len(s.offers), len(s.links), len(s.moved.of), s.total, sessions, held, len(entries), len(s.owned))
}

// BudgetOf is how many bytes may be held for a key that has a session.
func (s *Server) BudgetOf(key shs.PublicKey) int { return s.budget(key).Limit() }

// BreakLanes makes the reset of a channel's lane panic, for all channels there are, whose
// relays have begun.
func (s *Server) BreakLanes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		l.a = brokenLane{l.a}
	}
}

type brokenLane struct{ channel.Lane }

func (brokenLane) Abort() error { panic("a lane that cannot be reset") }

// Moved is how many moved channels the books have.
func (s *Server) Moved() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.moved.channels)
}

// AmendPolicy puts in force what next makes of the policy in force.
func (s *Server) AmendPolicy(next func(*Policy) *Policy) error {
	return s.amendPolicy(func(p *Policy) (*Policy, error) { return next(p), nil })
}

// Revoking is p with one more revoked key.
func (p *Policy) Revoking(key shs.PublicKey) *Policy { return p.revoking(key) }

// Reread is what the files say, put in force; between tells that they were read.
func (s *Server) Reread(between func()) error {
	return s.amendPolicy(func(p *Policy) (*Policy, error) {
		next, err := s.read(p)
		between()
		return next, err
	})
}

// Permits reports whether a key of this machine may come.
func (s *Server) Permits(key shs.PublicKey) bool {
	return s.permits(origin{transport: transportLocal}, key) == nil
}

// Nap is how long a line that expires at until is left alone.
func Nap(now, until time.Time) time.Duration { return nap(now, until) }

// ControlLanes is how many control lanes the books of all sessions have.
func (s *Server) ControlLanes() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		n += len(sess.rpcs)
	}
	return n
}
