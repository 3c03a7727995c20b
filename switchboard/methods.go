package switchboard

import (
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

// method is one row of the method table.
type method struct {
	kind  string // async or source
	serve func(*session, *muxrpc.Call)
}

// methods are the calls of a control lane (PROTOCOL.md §5).
var methods = map[string]method{
	control.MethodWhoAmI:  {"async", answer((*session).whoami)},
	control.MethodPing:    {"async", answer((*session).ping)},
	control.MethodClaim:   {"async", answer((*session).claim)},
	control.MethodRelease: {"async", answer((*session).release)},
	control.MethodUpdate:  {"async", answer((*session).update)},
	control.MethodList:    {"async", (*session).list},
	control.MethodGet:     {"async", answer((*session).get)},
	control.MethodWatch:   {"source", (*session).watch},
}

// handler answers the calls of one control lane. It runs on the lane's reader,
// so calls take effect in the order in which they were sent.
type handler struct {
	sess *session
}

// ServeCall answers one call.
func (h *handler) ServeCall(c *muxrpc.Call) {
	s := h.sess
	if c.Name() == control.MethodManifest { // always, whatever the budget
		s.reply(c, control.Manifest(), nil)
		return
	}
	m, ok := methods[c.Name()]
	err := s.srv.spend(s.key, time.Now())
	switch {
	case err != nil:
	case c.Name() == control.MethodConnect || c.Name() == control.MethodAccept:
		err = control.BadRequest.With(c.Name() + " must be the first packet of a lane of its own")
	case !ok:
		err = control.BadRequest.With(fmt.Sprintf("there is no method %q; manifest lists them", c.Name()))
	case c.Type() != m.kind:
		err = control.BadRequest.With(fmt.Sprintf("%s is called as %s", c.Name(), m.kind))
	default:
		m.serve(s, c)
		return
	}
	s.reply(c, nil, err)
}

// answer makes a method of a function from arguments to result.
func answer[A, R any](f func(*session, A) (R, error)) func(*session, *muxrpc.Call) {
	return func(s *session, c *muxrpc.Call) {
		var args A
		if err := control.Decode(c.Args(), &args); err != nil {
			s.reply(c, nil, err)
			return
		}
		res, err := f(s, args)
		s.reply(c, res, err)
	}
}

// reply sends the one answer of a call. That the peer cannot be told is the
// lane's end, which its reader sees.
func (s *session) reply(c *muxrpc.Call, v any, err error) {
	if err == nil {
		if err = c.Reply(v); err == nil {
			return
		}
	} else {
		wire := control.ToWire(err)
		if wire.Name == string(control.Internal) {
			s.log.Error("call failed", "method", c.Name(), "err", err)
		}
		err = c.Fail(wire)
	}
	s.log.Debug("call answered", "method", c.Name(), "err", err)
}

type none struct{}

func (s *session) whoami(none) (control.WhoAmI, error) {
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

func (s *session) ping(none) (int64, error) { return time.Now().UnixMilli(), nil }

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
func (s *session) list(c *muxrpc.Call) {
	var a control.ListArgs
	var match names.Pattern
	err := control.Decode(c.Args(), &a)
	if err == nil {
		match, err = parseMatch(a.Match)
	}
	if err != nil {
		s.reply(c, nil, err)
		return
	}
	s.srv.mu.Lock()
	rev, entries := s.srv.registry.Snapshot(time.Now())
	s.srv.mu.Unlock()

	listed, more := page(s.srv.roll.at(entries), match, a.After)
	head := strconv.AppendUint([]byte(`{"rev":`), rev, 10)
	parts := slices.Concat([][]byte{append(head, `,"names":[`...)}, listed)
	if more {
		parts = append(parts, []byte(`],"more":true}`))
	} else {
		parts = append(parts, []byte(`]}`))
	}
	if err := c.ReplyJSON(parts...); err != nil {
		s.log.Debug("call answered", "method", c.Name(), "err", err)
	}
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
