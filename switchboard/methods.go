package switchboard

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strconv"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// method is one row of the method table: an async call has an answer, a JSON
// text; any other is served.
type method struct {
	kind   string // async or source
	answer func(*session, []json.RawMessage) (parts [][]byte, err error)
	serve  func(*session, *muxrpc.Call)
}

// methods are the calls of a control lane (PROTOCOL.md §5).
var methods = withEnrolment(map[string]method{
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
	control.MethodChannelsClose: slow((*session).closeChannel),

	control.MethodSessionsList:  async((*session).listSessions, control.AppendJSON),
	control.MethodSessionsClose: slow((*session).closeSession),
	control.MethodStats:         async((*session).stats, control.AppendJSON),
	control.MethodRates:         async((*session).rates, control.AppendJSON),
	control.MethodReload:        slow((*session).reload),
	control.MethodAuditTail:     {kind: "source", serve: (*session).auditTail},
})

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

// slow makes a method of a function that may wait. It runs on a goroutine of its
// own: calls behind it do not wait for it.
func slow[A, R any, P interface {
	*A
	control.Args
}](f func(*session, A) (R, error)) method {
	return method{kind: "async", serve: func(s *session, c *muxrpc.Call) {
		var args A
		if err := control.Decode(c.Args(), P(&args)); err != nil {
			s.fail(c, err)
			return
		}
		c.Go(func() {
			var res R
			err := s.shielded(func() (err error) {
				res, err = f(s, args)
				return err
			})
			if err != nil {
				s.fail(c, err)
				return
			}
			s.told(c, c.ReplyJSON(control.AppendJSON(nil, &res)))
		})
	}}
}

// otherMethods is what calls of methods that there are not count as.
const otherMethods = "other"

// spend takes one call of a method from what the session's key may make.
func (s *session) spend(method string) error {
	now := time.Now()
	s.srv.counts.calls.Add(1)
	s.heard.Store(int64(now.Sub(s.srv.started)))
	return s.srv.spend(s.key, method, now)
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
	m, ok := methods[c.Name()]
	verb := c.Name()
	if !ok {
		verb = otherMethods
	}
	if err := s.spend(verb); err != nil {
		return nil, err
	}
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
	s.srv.counts.refused(err)
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
	owned, r, crowd := s.srv.registry.NamesOf(s.id), s.rights.Load(), len(s.srv.sessions)
	s.srv.mu.Unlock()
	lease := s.srv.limits.DirectLease.Milliseconds()
	if lease == control.DefaultLeaseMS {
		lease = 0
	}
	return control.WhoAmI{
		ID:      s.key,
		Session: s.name(),
		Names:   r.texts(owned),
		Level:   r.level().String(),
		Tenant:  r.tenant(),
		Server: control.ServerInfo{
			ID:       s.srv.key,
			Version:  s.srv.cfg.Version,
			Protocol: control.Version,
			Started:  s.srv.started.UnixMilli(),
			LeaseMS:  lease,
			SpreadMS: spread(crowd, s.srv.limits.DirectLease).Milliseconds(),
		},
	}, nil
}

// A crowd of clients that have all lost the server is to come back at comebackRate
// a second, within longestSpread. One that is no larger than smallCrowd may come at
// once.
const (
	smallCrowd    = 32
	comebackRate  = 25
	longestSpread = 30 * time.Second
)

// spread is within how long a crowd is to come back, and no longer than leaves its
// direct channels half their lease. Everybody is told, so it is that of the next power
// of two: of how many there are whom one may not see, it says no more.
func spread(crowd int, lease time.Duration) time.Duration {
	if crowd <= smallCrowd {
		return 0
	}
	crowd = 1 << bits.Len(uint(crowd-1))
	d := time.Duration((crowd+comebackRate-1)/comebackRate) * time.Second
	return min(d, longestSpread, lease/2)
}

func (s *session) ping(control.NoArgs) (time.Time, error) { return time.Now(), nil }

// appendTime appends ms since the Unix epoch.
func appendTime(b []byte, t *time.Time) []byte { return strconv.AppendInt(b, t.UnixMilli(), 10) }
