package switchboard

import (
	"math"
	"runtime/debug"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/memory"
	"github.com/cad2f06c/switchboard/internal/policy"
)

// stats serves stats.
func (s *session) stats(control.NoArgs) (control.Stats, error) {
	if err := s.administers(control.MethodStats); err != nil {
		return control.Stats{}, err
	}
	return s.srv.Stats(), nil
}

// Stats is what the call stats answers.
type Stats = control.Stats

// Stats returns the counters of the server. Safe for concurrent use.
func (s *Server) Stats() Stats {
	c, adm := s.counts, s.adm.snapshot()
	rules := s.rules.Load()
	st := Stats{
		UptimeMS: time.Since(s.started).Milliseconds(),
		Policy:   rules.policy.ID(), Keys: rules.source.Keys(),
		Logins: c.logins.Load(), Opened: c.opened.Load(), Moved: c.moved.Load(), Bytes: c.bytes.Load(), Calls: c.calls.Load(),
		Refused: c.byCode(), Over: s.over.counts(), Admission: adm.Counts, Sources: adm.Sources, Barred: adm.Barred,
		HalfOpen: map[string]int{"net": adm.HalfOpenNet, "unix": adm.HalfOpenUnix, "admin": adm.HalfOpenAdmin, "local": adm.HalfOpenLocal},
		Limits:   s.cfg.Limits.shown(),
	}
	s.statsLocked(&st)
	if a := s.cfg.Audit; a != nil {
		st.Audit = a.stats()
	}
	if err := s.degraded(); err != nil {
		st.Degraded = err.Error()
	}
	return st
}

// statsLocked fills in what the books know; it takes their lock.
func (s *Server) statsLocked(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Sessions, st.Watches, st.Relayed, st.Direct = len(s.sessions), len(s.watches), 0, len(s.moved.channels)
	st.Held = s.held.Held()
	for _, sess := range s.sessions {
		if n := sess.calls.Refused(); n > 0 {
			st.Over[overCalls.String()] += int64(n)
		}
	}
	for _, n := range s.owned {
		st.Names += n
	}
	for _, k := range s.keys {
		if k.sessions > 0 {
			st.Peers++
		}
	}
	for _, l := range s.links {
		in, out := l.pipe.Counts()
		st.Bytes += in + out
		if !l.moved {
			st.Relayed++
		}
	}
}

// shown are the limits that say how much a server may use, and what this process
// may.
func (l *Limits) shown() map[string]int {
	all := map[string]int{
		"sessions": l.Sessions, "sessions_per_key": l.SessionsPerKey, "lanes": l.Lanes,
		"held": l.Held, "held_verified": l.quota(policy.Verified).Held, "held_total": l.HeldTotal,
		"half_open_net": l.Admission.HalfOpenNet, "half_open_unix": l.Admission.HalfOpenUnix, "files": openFiles(),
	}
	if n, ok := memory.Limit(); ok {
		all["memory"] = int(min(n, math.MaxInt))
	}
	if n := debug.SetMemoryLimit(-1); n < math.MaxInt64 {
		all["memory_soft"] = int(min(n, math.MaxInt))
	}
	return all
}

func (a *Audit) stats() *control.AuditStats {
	st := a.log.Stats()
	out := &control.AuditStats{
		Dir: a.dir, Seq: st.Seq, Notes: st.Notes, Dropped: st.Dropped, Waiting: st.Waiting, Bytes: st.Bytes,
		Lost: st.Lost, Files: st.Files, Head: st.Head.Seq,
	}
	for _, k := range st.Sinks {
		sink := control.AuditSinkStats{Name: k.Name, Sent: k.Sent, Dropped: k.Dropped, Waiting: k.Waiting}
		if k.Err != nil {
			sink.Error = k.Err.Error()
		}
		out.Sinks = append(out.Sinks, sink)
	}
	return out
}

// degraded is why the server does not do all that it should, if it does not.
func (s *Server) degraded() error {
	if a := s.cfg.Audit; a != nil {
		return a.log.Degraded()
	}
	return nil
}
