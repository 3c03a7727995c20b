package control

import "github.com/cad2f06c/switchboard/shs"

// What administrators ask (PROTOCOL.md §13).

// AfterArgs asks for the page behind an entry (sessions.list, rates).
type AfterArgs struct {
	After string `json:"after,omitempty"`
}

// SessionsList is one page of sessions, by number. More says that another page
// follows.
type SessionsList struct {
	Sessions []SessionInfo `json:"sessions"`
	More     bool          `json:"more,omitempty"`
}

// SessionInfo is a session as it is listed. Source is where it comes from: an
// address without its port, or "uid 1000". Held is the bytes held for all
// sessions of its key; Since is in ms since the Unix epoch, IdleMS for how long
// its peer has called nothing. PID is what the kernel said at connect, for
// information; PIDGone, on Linux, that this process has ended, whoever has its number
// now.
type SessionInfo struct {
	Session   string        `json:"session"`
	ID        shs.PublicKey `json:"id"`
	Tenant    string        `json:"tenant"`
	Level     string        `json:"level"`
	Admin     bool          `json:"admin,omitempty"`
	Transport string        `json:"transport"`
	Source    string        `json:"source"`
	PID       int32         `json:"pid,omitempty"`
	PIDGone   bool          `json:"pid_gone,omitempty"`
	Names     []string      `json:"names"`
	Channels  int           `json:"channels"`
	Held      int64         `json:"held"`
	Since     int64         `json:"since"`
	IdleMS    int64         `json:"idle_ms"`
}

// SessionCloseArgs ends a session (sessions.close).
type SessionCloseArgs struct {
	Session string `json:"session"`
	Reason  string `json:"reason,omitempty"`
}

// Stats are the counters of a server. Counters are since its start, states of
// now. Admission counts connections by what became of them, Refused error
// answers by code.
type Stats struct {
	UptimeMS  int64            `json:"uptime_ms"`
	Degraded  string           `json:"degraded,omitempty"`
	Policy    string           `json:"policy"`
	Keys      int              `json:"keys"`
	Sessions  int              `json:"sessions"`
	Peers     int              `json:"peers"`
	Logins    uint64           `json:"logins"`
	Names     int              `json:"names"`
	Watches   int              `json:"watches"`
	Relayed   int              `json:"relayed"`
	Direct    int              `json:"direct"`
	Opened    uint64           `json:"opened"`
	Moved     uint64           `json:"moved"`
	Bytes     int64            `json:"bytes"`
	Held      int64            `json:"held"`
	Calls     uint64           `json:"calls"`
	Refused   map[string]int64 `json:"refused"`
	Over      map[string]int64 `json:"over"` // how often each limit was met, by its name
	Admission map[string]int64 `json:"admission"`
	HalfOpen  map[string]int   `json:"half_open"`
	Sources   int              `json:"sources"`
	Barred    int              `json:"barred"`
	Limits    map[string]int   `json:"limits"`
	Audit     *AuditStats      `json:"audit,omitempty"`
}

// AuditStats are those of the audit log. Dir is empty if it is in memory alone;
// Seq is the number of the last record.
type AuditStats struct {
	Dir     string           `json:"dir"`
	Seq     uint64           `json:"seq"`
	Notes   uint64           `json:"notes"`
	Dropped uint64           `json:"dropped"`
	Waiting int              `json:"waiting"`
	Bytes   uint64           `json:"bytes"`
	Lost    uint64           `json:"lost"`
	Files   int              `json:"files"`
	Head    uint64           `json:"head"`
	Sinks   []AuditSinkStats `json:"sinks,omitempty"`
}

// AuditSinkStats are those of a further sink.
type AuditSinkStats struct {
	Name    string `json:"name"`
	Sent    uint64 `json:"sent"`
	Dropped uint64 `json:"dropped"`
	Waiting int    `json:"waiting"`
	Error   string `json:"error,omitempty"`
}

// AuditTailArgs select records of the audit log (audit.tail). N is how many of
// those that are there, the newest; absent is 100. Since and Until are in ms
// since the Unix epoch. With Follow those that come later are told, too.
type AuditTailArgs struct {
	N      *int   `json:"n,omitempty"`
	Event  string `json:"event,omitempty"`
	Peer   string `json:"peer,omitempty"`
	Name   string `json:"name,omitempty"`
	Since  int64  `json:"since,omitempty"`
	Until  int64  `json:"until,omitempty"`
	Follow bool   `json:"follow,omitempty"`
}

// Rates are a page of how often each key has called what within the last 60 s,
// by key.
type Rates struct {
	Rates []Rate `json:"rates"`
	More  bool   `json:"more,omitempty"`
}

// Rate is that of one key and method.
type Rate struct {
	ID     shs.PublicKey `json:"id"`
	Method string        `json:"method"`
	Count  int           `json:"count"`
}

// ReloadResult says how many keys are listed now.
type ReloadResult struct {
	Keys int `json:"keys"`
}

func (a *AfterArgs) field(name string) any {
	if name == "after" {
		return &a.After
	}
	return nil
}

func (a *SessionCloseArgs) field(name string) any {
	switch name {
	case "session":
		return &a.Session
	case "reason":
		return &a.Reason
	}
	return nil
}

func (a *AuditTailArgs) field(name string) any {
	switch name {
	case "n":
		return &a.N
	case "event":
		return &a.Event
	case "peer":
		return &a.Peer
	case "name":
		return &a.Name
	case "since":
		return &a.Since
	case "until":
		return &a.Until
	case "follow":
		return &a.Follow
	}
	return nil
}
