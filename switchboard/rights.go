package switchboard

import (
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
	"github.com/cad2f06c/switchboard/shs"
)

// rules are a policy as this server has it: with the server's own key.
type rules struct {
	policy  *policy.Policy
	source  *Policy
	tenants bool                            // there are others than the default one
	from    map[shs.PublicKey]shs.PublicKey // of keys that have taken the place of others: of which
	until   time.Time                       // when the next line expires; zero: never
}

// rights are what a session may do: the grant for its key, and the policy that
// gave it. They are replaced together, and never changed.
type rights struct {
	rules *rules
	grant *policy.Grant // nil: of a session that is about to end
	all   bool          // every name is there, and written as the registry does
}

// admit is the one way from a proven key to rights.
func (r *rules) admit(key shs.PublicKey, from policy.Origin) (*rights, error) {
	g, err := r.policy.Authenticate(key, from)
	if err != nil {
		return nil, err
	}
	return &rights{rules: r, grant: g, all: !r.tenants && g.SeesAll("")}, nil
}

// beginRightsLocked gives a session that enters the books the rights of now. A
// key that may not come any more has none.
func (s *session) beginRightsLocked() {
	rules := s.srv.rules.Load()
	r, err := rules.admit(s.key, originOf(s.transport))
	if err != nil {
		s.rights.Store(&rights{rules: rules})
		return
	}
	s.rights.Store(r)
	s.srv.gradeLocked(s.srv.keys[s.key], r)
	s.fitLocked()
}

// may is the one way from rights to a decision.
func (r *rights) may(v policy.Verb, o policy.Object) bool {
	return r.grant != nil && r.rules.policy.Authorize(r.grant, v, o).Allowed
}

// sees reports whether a name of the registry exists for who has r.
func (r *rights) sees(n names.Name) bool {
	return r.all && r.grant != nil || r.may(policy.See, object(n))
}

// sameView reports whether two rights are sure to see the same names.
func sameView(a, b *rights) bool {
	if a.all || b.all || a.grant == nil || b.grant == nil {
		return a.all == b.all && (a.grant == nil) == (b.grant == nil)
	}
	return a.rules.tenants == b.rules.tenants && a.rules.source.view(a.grant) == b.rules.source.view(b.grant)
}

func (r *rights) tenant() string {
	if r.grant == nil {
		return ""
	}
	return r.grant.Tenant()
}

func (r *rights) level() policy.Level {
	if r.grant == nil {
		return policy.Untrusted
	}
	return r.grant.Level()
}

// admin reports whether who has r is an administrator.
func (r *rights) admin() bool { return r.grant != nil && r.grant.Admin() }

// text is a name of the registry as who has r writes it.
func (r *rights) text(n names.Name) string {
	own := r.tenant()
	if own == "" && !r.rules.tenants {
		return string(n)
	}
	o := object(n)
	return policy.NameText(own, o.Tenant, o.Name)
}

// texts are names as who has r writes them: those that exist for it, never nil.
func (r *rights) texts(ns []names.Name) []string {
	out := make([]string, 0, len(ns))
	for _, n := range ns {
		if r.sees(n) {
			out = append(out, r.text(n))
		}
	}
	return out
}

// entry is an entry of the registry as it stands on the wire for who has r. How
// many wait for a name is for those who may own it.
func (r *rights) entry(e *names.Entry) control.Entry {
	w := wireEntry(e)
	w.Name = r.text(e.Name)
	if w.Waiters > 0 && !r.may(policy.Own, object(e.Name)) {
		w.Waiters = 0
	}
	return w
}

// objectLocked is an owned name as the rule about levels sees it.
func (s *Server) objectLocked(e *names.Entry) policy.Object {
	o := object(e.Name)
	if owner := s.sessions[e.Owner.Session]; owner != nil {
		o.Owned, o.Owner = true, owner.rights.Load().level()
	}
	return o
}

// originOf is where a session comes from, as rules see it.
func originOf(transport string) policy.Origin {
	if transport == transportNet {
		return policy.Far
	}
	return policy.Local
}

// Answers of the rules. What does not exist for a peer is errNoName and
// errNoSession, to the byte.
var (
	errNoOwn     = control.NotAllowed.With("you may not own this name")
	errNoTalk    = control.NotAllowed.With("you may see this name, and not talk to it")
	errNoSession = control.NotFound.With("no such session")
)
