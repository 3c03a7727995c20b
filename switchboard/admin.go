package switchboard

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/peercred"
	"github.com/cad2f06c/switchboard/shs"
)

// What administrators ask of sessions and rates (PROTOCOL.md §13).

// listSessions serves sessions.list.
func (s *session) listSessions(a control.AfterArgs) (control.SessionsList, error) {
	none := control.SessionsList{}
	if err := s.administers(control.MethodSessionsList); err != nil {
		return none, err
	}
	after := uint64(0)
	if a.After != "" {
		var ok bool
		if after, ok = control.ParseSession(a.After); !ok {
			return none, control.BadRequest.With(`after is a session, such as ":17"`)
		}
	}
	s.srv.mu.Lock()
	now := time.Now()
	var all []control.SessionInfo
	var processes []peercred.Process
	for _, sess := range s.srv.sessionsLocked(after) {
		all = append(all, sess.infoLocked(now))
		processes = append(processes, sess.process)
	}
	s.srv.mu.Unlock()
	shown, more := fitting(all, control.MaxPeerBody-pageRoom)
	for i := range shown {
		shown[i].PIDGone = processes[i].Gone()
	}
	return control.SessionsList{Sessions: shown, More: more}, nil
}

// sessionsLocked are the sessions behind one, in order.
func (s *Server) sessionsLocked(after uint64) (all []*session) {
	for id, sess := range s.sessions {
		if id > after {
			all = append(all, sess)
		}
	}
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	return all
}

func (s *session) infoLocked(now time.Time) control.SessionInfo {
	r := s.rights.Load()
	info := control.SessionInfo{
		Session: s.name(), ID: s.key, Tenant: r.tenant(), Level: r.level().String(), Admin: r.admin(),
		Transport: s.transport, Source: s.from, PID: s.process.PID, Names: []string{}, Channels: len(s.srv.moved.of[s.id]),
		Since: s.began.UnixMilli(), IdleMS: (now.Sub(s.srv.started) - time.Duration(s.heard.Load())).Milliseconds(),
	}
	for _, n := range s.srv.registry.NamesOf(s.id) {
		info.Names = append(info.Names, string(n))
	}
	for l := range s.links {
		if l.b != nil && !l.moved {
			info.Channels++
		}
	}
	if k := s.srv.keys[s.key]; k != nil && k.budget != nil {
		info.Held = k.budget.Held()
	}
	return info
}

// fitting is as much of a list as has room in a page, and whether there is more.
func fitting[T any](all []T, room int) (shown []T, more bool) {
	var b []byte
	for i := range all {
		b = control.AppendJSON(b[:0], &all[i])
		if room -= len(b) + 1; room < 0 {
			return all[:i], true
		}
	}
	return append([]T{}, all...), false
}

// errClosed ends a session that an administrator has closed.
var errClosed = errors.New("closed by an administrator")

// closeSession serves sessions.close.
func (s *session) closeSession(a control.SessionCloseArgs) (bool, error) {
	if err := s.administers(control.MethodSessionsClose); err != nil {
		return false, err
	}
	id, ok := control.ParseSession(a.Session)
	if !ok {
		return false, control.BadRequest.With(`session is one, such as ":17"`)
	}
	s.srv.mu.Lock()
	target := s.srv.sessions[id]
	s.srv.mu.Unlock()
	if target == nil {
		return false, errNoSession
	}
	if err := s.commit(audit.Event{Event: evSessionClosed, Peer: target.keyText, Target: target.name(), Reason: tame(a.Reason)}); err != nil {
		return false, err
	}
	if target != s {
		target.kill(errClosed)
		return true, nil
	}
	time.AfterFunc(lastWords, func() { s.noted(func() { s.kill(errClosed) }) }) // its own: once it has the answer
	return true, nil
}

// lastWords is how long an administrator's own session has to take the answer that
// it is closed.
const lastWords = 100 * time.Millisecond

// rates serves rates.
func (s *session) rates(a control.AfterArgs) (control.Rates, error) {
	if err := s.administers(control.MethodRates); err != nil {
		return control.Rates{}, err
	}
	now := time.Now()
	var all []control.Rate
	s.srv.mu.Lock()
	for key, k := range s.srv.keys {
		if k.meter != nil && (a.After == "" || key.String() > a.After) {
			all = append(all, k.meter.rates(key, now)...)
		}
	}
	s.srv.mu.Unlock()
	slices.SortStableFunc(all, func(x, y control.Rate) int { return strings.Compare(x.ID.String(), y.ID.String()) })
	shown, more := fitting(all, control.MaxPeerBody-pageRoom)
	return control.Rates{Rates: wholeKeys(shown, more), More: more}, nil
}

// wholeKeys leaves out the last key of a page behind which another comes: the next
// page begins with it.
func wholeKeys(page []control.Rate, more bool) []control.Rate {
	if !more || len(page) == 0 {
		return page
	}
	var last shs.PublicKey = page[len(page)-1].ID
	n := len(page)
	for n > 0 && page[n-1].ID == last {
		n--
	}
	return page[:n]
}

// reload serves reload.
func (s *session) reload(control.NoArgs) (control.ReloadResult, error) {
	var none control.ReloadResult
	if err := s.administers(control.MethodReload); err != nil {
		return none, err
	}
	if s.srv.cfg.Reload == nil {
		return none, control.Unavailable.With("this server has nothing to read again")
	}
	if err := s.commit(audit.Event{Event: evReload}); err != nil {
		return none, err
	}
	if err := s.srv.cfg.Reload(s.ctx); err != nil {
		return none, control.BadRequest.With("reload refused; all stays as it was: " + tame(err.Error()))
	}
	return control.ReloadResult{Keys: s.srv.rules.Load().source.Keys()}, nil
}
