package audit

import "time"

// Filter picks records; what is zero picks all.
type Filter struct {
	Event string // exactly
	Peer  string // a key: the actor, the peer or the target
	Name  string // the name or the target; "tenant/name" also picks that name of that tenant
	Since time.Time
	Until time.Time // both are picked too
	After uint64    // only records with higher numbers
	Limit int       // Recent: the newest so many. Follow has no limit
}

// Match reports whether the filter picks r. Heads are picked only by name: they tell
// of no event.
func (f Filter) Match(r *Record) bool {
	switch {
	case f.Event != r.Event.Event && (f.Event != "" || r.Event.Event == EventHead),
		f.Peer != "" && f.Peer != r.Actor && f.Peer != r.Peer && f.Peer != r.Target,
		f.Name != "" && f.Name != r.Name && f.Name != r.Target && (r.Tenant == "" || f.Name != r.Tenant+"/"+r.Name),
		!f.Since.IsZero() && r.Wall < f.Since.UnixMilli(),
		!f.Until.IsZero() && r.Wall > f.Until.UnixMilli(),
		r.Seq <= f.After:
		return false
	}
	return true
}
