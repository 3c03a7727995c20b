package switchboard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/names"
)

// level of every admitted peer, until rules say otherwise.
const level = "trusted"

// method is one row of the method table: an async call has an answer, a JSON
// text; any other is served.
type method struct {
	kind   string // async or source
	answer func(*session, []json.RawMessage) (parts [][]byte, err error)
	serve  func(*session, *muxrpc.Call)
}

// methods are the calls of a control lane (PROTOCOL.md §5).
var methods = map[string]method{
	control.MethodWhoAmI:  async((*session).whoami, control.AppendWhoAmI),
	control.MethodPing:    async((*session).ping, appendTime),
	control.MethodClaim:   async((*session).claim, control.AppendClaimResult),
	control.MethodRelease: async((*session).release, control.AppendRevResult),
	control.MethodUpdate:  async((*session).update, control.AppendRevResult),
	control.MethodList:    {kind: "async", answer: (*session).list},
	control.MethodGet:     async((*session).get, control.AppendEntry),
	control.MethodWatch:   {kind: "source", serve: (*session).watch},

	control.MethodChannelDirect: {kind: "async", serve: (*session).direct},
	control.MethodChannelMoved:  async((*session).movedOver, control.AppendJSON),
	control.MethodChannelClosed: async((*session).endClosed, control.AppendJSON),
	control.MethodChannelAdopt:  async((*session).adopt, control.AppendJSON),
	control.MethodChannelsList:  async((*session).channels, control.AppendJSON),
	control.MethodChannelsClose: async((*session).closeChannel, control.AppendJSON),
}

// async makes a method of a function from arguments to result, and of one that
// writes the result.
func async[A, R any, P interface {
	*A
	control.Args
}](f func(*session, A) (R, error), write func([]byte, *R) []byte) method {
	return method{kind: "async", answer: func(s *session, raw []json.RawMessage) ([][]byte, error) {
		var args A
		if err := control.Decode(raw, P(&args)); err != nil {
			return nil, err
		}
		res, err := f(s, args)
		if err != nil {
			return nil, err
		}
		return [][]byte{write(nil, &res)}, nil
	}}
}

// handler answers the calls of one control lane. It runs on the lane's reader,
// so calls take effect in the order in which they were sent. The lane's stack
// stays as large as its deepest call: so an answer is sent from here, after the
// method has returned.
type handler struct {
	sess *session
}

// ServeCall answers one call.
func (h *handler) ServeCall(c *muxrpc.Call) {
	s := h.sess
	parts, err := h.begin(c)
	switch {
	case err != nil:
		s.fail(c, err)
	case parts != nil:
		s.told(c, c.ReplyJSON(parts...))
	}
}

// begin makes the answer of an async call; another call goes on by itself.
func (h *handler) begin(c *muxrpc.Call) (parts [][]byte, err error) {
	s := h.sess
	if c.Name() == control.MethodManifest { // always, whatever the budget
		tree, err := json.Marshal(control.Manifest())
		return [][]byte{tree}, err
	}
	if err := s.srv.spend(s.key, time.Now()); err != nil {
		return nil, err
	}
	m, ok := methods[c.Name()]
	switch {
	case c.Name() == control.MethodConnect || c.Name() == control.MethodAccept:
		return nil, control.BadRequest.With(c.Name() + " must be the first packet of a lane of its own")
	case !ok:
		return nil, control.BadRequest.With(fmt.Sprintf("there is no method %q; manifest lists them", c.Name()))
	case c.Type() != m.kind:
		return nil, control.BadRequest.With(fmt.Sprintf("%s is called as %s", c.Name(), m.kind))
	case m.serve != nil:
		m.serve(s, c)
		return nil, nil
	}
	return m.answer(s, c.Args())
}

// fail answers a call with an error.
func (s *session) fail(c *muxrpc.Call, err error) {
	wire := control.ToWire(err)
	if wire.Name == string(control.Internal) {
		s.log.Error("call failed", "method", c.Name(), "err", err)
	}
	s.told(c, c.Fail(wire))
}

// told notes whether the one answer of a call could be sent. That the peer
// cannot be told is the lane's end, which its reader sees.
func (s *session) told(c *muxrpc.Call, err error) {
	if err != nil {
		s.log.Debug("call not answered", "method", c.Name(), "err", err)
	}
}

func (s *session) whoami(control.NoArgs) (control.WhoAmI, error) {
	s.srv.mu.Lock()
	owned := s.srv.registry.NamesOf(s.id)
	s.srv.mu.Unlock()
	return control.WhoAmI{
		ID:      s.key,
		Session: s.name(),
		Names:   texts(owned),
		Level:   level,
		Server: control.ServerInfo{
			ID:       s.srv.key,
			Version:  s.srv.cfg.Version,
			Protocol: control.Version,
			Started:  s.srv.started.UnixMilli(),
		},
	}, nil
}

func (s *session) ping(control.NoArgs) (time.Time, error) { return time.Now(), nil }

// appendTime appends ms since the Unix epoch.
func appendTime(b []byte, t *time.Time) []byte { return strconv.AppendInt(b, t.UnixMilli(), 10) }

// change runs one step of the registry, and tells who watches.
func (s *session) change(step func(*names.Registry) ([]names.Change, error)) error {
	srv := s.srv
	srv.mu.Lock()
	changes, err := step(srv.registry)
	now := srv.publishLocked(changes, maxPassing)
	srv.mu.Unlock()
	srv.pass(now)
	return err
}

func (s *session) claim(a control.ClaimArgs) (control.ClaimResult, error) {
	name, err := names.ParseName(a.Name)
	if err != nil {
		return control.ClaimResult{}, err
	}
	if len(a.Info) > control.MaxMeta {
		return control.ClaimResult{}, control.BadRequest.With("info is larger than 4 KiB")
	}
	var res names.Result
	err = s.change(func(r *names.Registry) (changes []names.Change, err error) {
		if s.leaving {
			return nil, control.ShuttingDown
		}
		// A claim without queue leaves the line, which is no event.
		res, changes, err = r.Claim(time.Now(), s.owner(), name,
			names.Options{Queue: a.Queue, Replace: a.Replace, Yield: a.Yield, Info: a.Info})
		return changes, err
	})
	if err != nil {
		return control.ClaimResult{}, err
	}
	return control.ClaimResult{Name: a.Name, State: res.State, Epoch: res.Epoch, Rev: res.Rev}, nil
}

func (s *session) release(a control.NameArgs) (control.RevResult, error) {
	name, err := names.ParseName(a.Name)
	if err != nil {
		return control.RevResult{}, err
	}
	var rev uint64
	err = s.change(func(r *names.Registry) (changes []names.Change, err error) {
		rev, changes, err = r.Release(time.Now(), s.id, name)
		return changes, err
	})
	if err != nil {
		return control.RevResult{}, err
	}
	return control.RevResult{Name: a.Name, Rev: rev}, nil
}

func (s *session) update(a control.UpdateArgs) (control.RevResult, error) {
	name, err := names.ParseName(a.Name)
	if err != nil {
		return control.RevResult{}, err
	}
	if len(a.Info) == 0 || len(a.Info) > control.MaxMeta {
		return control.RevResult{}, control.BadRequest.With("info is missing or larger than 4 KiB")
	}
	var rev uint64
	err = s.change(func(r *names.Registry) (changes []names.Change, err error) {
		rev, changes, err = r.Update(time.Now(), s.id, name, a.Info)
		return changes, err
	})
	if err != nil {
		return control.RevResult{}, err
	}
	return control.RevResult{Name: a.Name, Rev: rev}, nil
}

func (s *session) get(a control.NameArgs) (control.Entry, error) {
	name, err := names.ParseName(a.Name)
	if err != nil {
		return control.Entry{}, err
	}
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	e, ok := s.srv.registry.Get(name)
	if !ok {
		return control.Entry{}, errNoName
	}
	return wireEntry(e), nil
}

// list answers with a page of the roll, which is a control.ListResult that was
// written before.
func (s *session) list(raw []json.RawMessage) ([][]byte, error) {
	var a control.ListArgs
	if err := control.Decode(raw, &a); err != nil {
		return nil, err
	}
	match, err := parseMatch(a.Match)
	if err != nil {
		return nil, err
	}
	s.srv.mu.Lock()
	rev, entries := s.srv.registry.Snapshot(time.Now())
	s.srv.mu.Unlock()

	l := listing{match: match, after: a.After, brief: a.Brief}
	listed, more := l.page(s.srv.roll.at(entries))
	head := strconv.AppendUint([]byte(`{"rev":`), rev, 10)
	parts := slices.Concat([][]byte{append(head, `,"names":[`...)}, listed)
	if more {
		return append(parts, []byte(`],"more":true}`)), nil
	}
	return append(parts, []byte(`]}`)), nil
}

// errNoName is the answer for what does not exist, and for what one may not see.
var errNoName = control.NotFound.With("no such name")

// parseMatch reads a pattern; no pattern is every name.
func parseMatch(s string) (names.Pattern, error) {
	if s == "" {
		return names.Pattern{}, nil
	}
	return names.ParsePattern(s)
}

// wireEntry writes an entry of the registry as it stands on the wire.
func wireEntry(e *names.Entry) control.Entry {
	return control.Entry{
		Name:      string(e.Name),
		ID:        e.Owner.Key,
		Session:   control.FormatSession(e.Owner.Session),
		Since:     e.Since.UnixMilli(),
		Epoch:     e.Epoch,
		Info:      e.Info,
		Transport: e.Owner.Transport,
		Waiters:   e.Waiters,
	}
}

// texts returns names as strings, never nil.
func texts(ns []names.Name) []string {
	out := make([]string, len(ns))
	for i, n := range ns {
		out[i] = string(n)
	}
	return out
}
