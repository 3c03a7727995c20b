package switchboard_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// onLog is a log that calls say with the text of each record.
type onLog struct {
	slog.Handler
	say func(text string)
}

func (l onLog) Enabled(context.Context, slog.Level) bool { return true }
func (l onLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l onLog) Handle(_ context.Context, r slog.Record) error {
	l.say(r.Message)
	return nil
}

// A key that leaves the list during its login and is back at once has no session
// without rights.
func TestRelistedDuringLogin(t *testing.T) {
	var h *host
	log := slog.New(onLog{slog.DiscardHandler, func(text string) {
		if text == "session begins" {
			must(t, h.srv.SetPolicy(listed(1)))
		}
	}})
	farBubbleWith(t, switchboard.Config{Log: log}, func(t *testing.T, made *host, remote *switchboard.Local) {
		h = made
		raw, err := remote.DialContext(t.Context(), "", "")
		must(t, err)
		defer raw.Close()
		late := &beforeLast{Conn: raw, do: func() {
			synctest.Wait() // the server has let us in and is writing message 4
			must(t, h.srv.SetPolicy(listed(2)))
		}}
		conn := shs.Client(late, &shs.Config{Key: seeded(1), ServerKey: h.srv.Key()})
		must(t, conn.Handshake(t.Context()))
		began := time.Now()
		(&peer{t: t, lane: conn}).wantCutOrNothing()
		if took := time.Since(began); took > time.Second {
			t.Errorf("a session without rights went on for %v", took)
		}
		again, err := h.dialFar(remote, 1)
		must(t, err)
		again.call(1, "whoami", "")
	})
}
