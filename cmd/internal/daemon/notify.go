package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cad2f06c/switchboard/cmd/internal/systemd"
	"github.com/cad2f06c/switchboard/switchboard"
)

// Times of the reports to the service manager.
const (
	startPoll   = 5 * time.Millisecond // between two looks at a server that starts
	statusEvery = 10 * time.Second     // without a watchdog
	stopMargin  = 10 * time.Second     // beyond the drain time
)

// reporter tells the service manager how the server is.
type reporter struct {
	notify *systemd.Notifier
	srv    interface {
		Health(context.Context) (switchboard.Health, error)
	}
	log   *slog.Logger
	drain time.Duration

	failed error  // of telling; said once
	said   string // status
	sick   bool
}

// run says that the server is ready once it serves, and from then on how it is:
// with a watchdog twice in its time, and only while the server answers. It goes
// on while the server stops, until over ends.
func (r *reporter) run(stopping, over context.Context) {
	if r.notify == nil {
		return
	}
	keep(r.log, over.Done(), func() { r.serve(stopping, over) })
}

// serve is run until a panic. The manager hears a second time what it was told before.
func (r *reporter) serve(stopping, over context.Context) {
	every := statusEvery
	if dog := r.notify.Watchdog(); dog > 0 {
		every = max(dog/2, time.Millisecond)
	}
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	ready := false
	stop := stopping.Done()
	for {
		select {
		case <-over.Done():
			return
		case <-stop:
			stop = nil
			r.told(r.notify.Stopping(r.drain+stopMargin, "stopping"))
			ready = true // or never
			tick.Reset(every)
			continue
		case <-tick.C:
		}
		status, ok := r.status(over, every)
		switch {
		case !ok:
		case !ready:
			ready, r.said = true, status
			r.told(r.notify.Ready(status))
			tick.Reset(every)
		case r.notify.Watchdog() > 0:
			r.told(r.notify.Alive(status))
		case status != r.said:
			r.said = status
			r.told(r.notify.Status(status))
		}
	}
}

// status asks the server, which has to answer within some time.
func (r *reporter) status(ctx context.Context, within time.Duration) (text string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	h, err := r.srv.Health(ctx)
	if errors.Is(err, switchboard.ErrNotServing) {
		return "", false
	}
	if sick := err != nil; sick != r.sick {
		r.sick = sick
		if sick {
			r.log.Error("the server does not answer; the watchdog hears nothing", "err", err)
		} else {
			r.log.Info("the server answers again")
		}
	}
	text = fmt.Sprintf("%d sessions, %d channels at the server, %d on direct links", h.Sessions, h.Relayed, h.Direct)
	if h.Degraded != nil {
		text = "degraded, for the audit log cannot be written; " + text
	}
	return text, err == nil
}

// told notes whether the manager could be told, once.
func (r *reporter) told(err error) {
	if err != nil && r.failed == nil {
		r.log.Warn("the service manager does not listen", "err", err)
	}
	r.failed = err
}
