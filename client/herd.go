package client

import (
	"math/rand/v2"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
)

// herd is what one client does so that all those of a server that is gone do not
// come back at once. Whoever finds the server there was alone, and is back at once. The
// others spread evenly over the time that the server has told them: each takes a
// moment of it at random, and tries once in every such time from then on.
type herd struct{ failed int }

// pause is the pause before the next attempt: d, or what the spread makes of it.
func (h *herd) pause(d, spread time.Duration) time.Duration {
	switch {
	case h.failed == 0 || d >= spread:
		return d
	case h.failed == 1:
		return max(d, rand.N(spread))
	}
	return spread
}

// A session asks how large the crowd has become after firstLook, and after each
// pause twice as long, up to longestLook.
const (
	firstLook   = 5 * time.Second
	longestLook = time.Hour
)

// learn notes what the server says at the begin of a session. The first of a crowd
// that comes back see a small one: they keep to the last one for now.
func (c *Client) learn(server *control.ServerInfo) {
	if told := int64(server.Spread()); told > c.spread.Load() {
		c.spread.Store(told)
	}
}

// watchCrowd asks the server now and then over how long its crowd is to spread.
func (s *session) watchCrowd() {
	due := make(chan struct{}, 1)
	timer := s.c.alarms.For(s.conn.NetConn())(firstLook, func() { due <- struct{}{} })
	defer timer.Stop()
	for pause := firstLook; ; timer.Reset(pause) {
		select {
		case <-due:
		case <-s.ctx.Done():
			return
		}
		pause = min(2*pause, longestLook)
		var me control.WhoAmI
		if err := s.call(s.ctx, control.MethodWhoAmI, nil, &me); err == nil {
			s.c.spread.Store(int64(me.Server.Spread()))
		}
	}
}
