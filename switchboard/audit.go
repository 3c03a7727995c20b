package switchboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// Audit is a log of who did what, and who was refused (PROTOCOL.md §13). Make one
// with OpenAudit, give it to one Config, and close it after Serve has returned.
type Audit struct {
	log *audit.Log
	dir string
}

// AuditConfig is how an Audit is kept.
type AuditConfig struct {
	// Dir is where the files are; its parent must exist. Without one the newest
	// records are in memory, and nowhere else.
	Dir string
	// Key, the server's, signs heads. Without one there are none.
	Key shs.PrivateKey
	// MaxFile is the length at which a further file is begun. Default 64 MiB.
	MaxFile int64
	// Files is how many are kept. Default 8.
	Files int
	// Ring is how many of the newest records are in memory, too. Default 10,000.
	Ring int
	// Rate is how many events of one key a second are written, and at once; others
	// are counted in one record. Default 200; negative is no bound.
	Rate int
	// Flush is how long a record may wait until it is on the disk. Default 1 s.
	Flush time.Duration
	// Sinks get all records too, as well as can be. The log closes them.
	Sinks []AuditSink
	// Log hears when the files cannot be written, and when they can again.
	Log *slog.Logger
}

// AuditSink is a further place for records. One that is slow or fails loses
// records, which are counted, and nobody waits for it.
type AuditSink = audit.Sink

// auditLabel is that of the statements that heads are.
const auditLabel = "audit"

// OpenAudit opens the log in a directory and continues it, or begins one. It
// fails if another process has it open, if others could change it, and if its
// last file is not one of such a log.
func OpenAudit(cfg AuditConfig) (*Audit, error) {
	c := audit.Config{Dir: cfg.Dir, MaxFile: cfg.MaxFile, Files: cfg.Files, Ring: cfg.Ring, Rate: cfg.Rate, Flush: cfg.Flush, Sinks: cfg.Sinks, Log: cfg.Log}
	if !cfg.Key.IsZero() {
		c.Sign = func(msg []byte) []byte { return cfg.Key.Sign(auditLabel, msg) }
	}
	log, err := audit.Open(c)
	if err != nil {
		return nil, err
	}
	return &Audit{log: log, dir: cfg.Dir}, nil
}

// Close writes what waits, signs it and closes the files and sinks.
func (a *Audit) Close() error { return a.log.Close() }

// note writes an event down. It never waits: it may be called with any lock held.
func (s *Server) note(e audit.Event) {
	if a := s.cfg.Audit; a != nil {
		a.log.Note(e)
	}
}

// audited reports whether notes are kept: what costs something to tell is not
// told to nobody.
func (s *Server) audited() bool { return s.cfg.Audit != nil }

// commitTimeout is how long an administrator's change waits for the disk.
const commitTimeout = 10 * time.Second

// commit writes down what an administrator is about to change. If that fails, it
// must not be changed.
func (s *session) commit(e audit.Event) error {
	a := s.srv.cfg.Audit
	if a == nil {
		return nil
	}
	e = s.event(e)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), commitTimeout)
	defer cancel()
	if err := a.log.Commit(ctx, e); err != nil {
		s.log.Error("an administrator's change was refused", "event", e.Event, "err", err)
		return control.Unavailable.With(fmt.Sprintf("nothing was changed, for it could not be written down: %.160s", err))
	}
	return nil
}

// event fills in who reports: the session.
func (s *session) event(e audit.Event) audit.Event {
	e.Actor, e.Session, e.Source = s.keyText, s.name(), s.from
	if e.Tenant == "" {
		e.Tenant = s.rights.Load().tenant()
	}
	if s.transport == transportUnix {
		e.Unix, e.UID, e.PID = true, int(s.place.uid), int(s.process.PID)
	}
	return e
}

// note writes down what the session does.
func (s *session) note(e audit.Event) {
	if s.srv.audited() {
		s.srv.note(s.event(e))
	}
}

// Events of the log. Those that are no words of a reader's own documents are
// spelled as Go constants are read: append-only.
const (
	evStarted       = "started"
	evLogin         = "login"
	evLoginRefused  = "login_refused"
	evSessionEnd    = "session_end"
	evSessionClosed = "session_closed" // by an administrator
	evClaim         = "claim"
	evClaimFailed   = "claim_failed"
	evRelease       = "release"
	evNotAllowed    = "not_allowed"
	evCrossTenant   = "unauthorized-cross-tenant-access"
	evOpen          = "open"
	evOpenFailed    = "open_failed"
	evMoved         = "moved"
	evClose         = "close"
	evChannelClosed = "channel_closed" // by an administrator
	evPolicy        = "policy_changed"
	evTrustLevel    = "trust_level_changed"
	evPermissions   = "permissions_updated"
	evRevoked       = "revoked"
	evPenalty       = "penalty"
	evReload        = "reload"
	evReloadFailed  = "reload_failed"
	evShuttingDown  = "shutting_down"
)

const decisionDenied = "denied"

// deny writes down that the session may not do something.
func (s *session) deny(v policy.Verb, o policy.Object, why policy.Rule) {
	if !s.srv.audited() {
		return
	}
	e := s.event(audit.Event{
		Event: evNotAllowed, Name: string(o.Name), Tenant: policy.TenantText(o.Tenant),
		Decision: decisionDenied, Rule: why.String(), Reason: why.Reason(), Attrs: map[string]string{"verb": v.String()},
	})
	s.srv.note(e)
	if own := s.rights.Load().tenant(); own != o.Tenant {
		e.Event = evCrossTenant
		e.Attrs = map[string]string{
			"verb": v.String(), "sourcePlugin": s.keyText, "targetTenant": policy.TenantText(o.Tenant),
			"timestamp": time.Now().UTC().Format(time.RFC3339Nano),
		}
		s.srv.note(e)
	}
}

// may decides about a name, and writes a no down.
func (s *session) may(v policy.Verb, o policy.Object) bool {
	r := s.rights.Load()
	if r.grant == nil {
		return false
	}
	d := r.rules.policy.Authorize(r.grant, v, o)
	if !d.Allowed {
		s.deny(v, o, d.Rule)
	}
	return d.Allowed
}

// administers reports whether the session is an administrator's, and writes down
// if one that is not has asked for what only they may.
func (s *session) administers(method string) error {
	if s.admin() {
		return nil
	}
	s.note(audit.Event{Event: evNotAllowed, Target: method, Decision: decisionDenied, Reason: "no_rule", Rule: "no administrator",
		Attrs: map[string]string{"verb": policy.Admin.String()}})
	return errNoAdmin
}

// failedOpen counts a connect that came to nothing, and writes it down; what may
// has said no to is written already.
func (s *session) failedOpen(name string, err error) {
	s.srv.counts.refused(err)
	switch {
	case !s.srv.audited(), errors.Is(err, control.NotAllowed):
		return
	}
	wire := control.ToWire(err)
	reason := wire.Name
	if control.Code(reason) != control.Refused && wire.Message != "" { // else it is the callee's own
		reason += ": " + wire.Message
	}
	s.note(audit.Event{Event: evOpenFailed, Name: name, Reason: reason})
}

// ReloadFailed writes down that a new configuration or policy was refused. Why is
// what the reload was for. What err quotes is left out: it may be a secret that
// stands in the wrong place.
func (s *Server) ReloadFailed(why string, err error) {
	parts := strings.Split(err.Error(), `"`)
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "…"
	}
	s.note(audit.Event{Event: evReloadFailed, Reason: strings.Join(parts, `"`), Attrs: map[string]string{"why": why}})
}
