package mux

import (
	"log/slog"
	"time"
)

// Config sets the limits of a session. The zero value works.
type Config struct {
	// MaxStreams is how many streams may be there at once, both sides' opens
	// together. Over it an incoming stream is reset and Open is ErrStreams.
	// Default 1,024.
	MaxStreams int

	// Backlog is how many incoming streams wait for Accept. Over it they are
	// reset. Default 64.
	Backlog int

	// Window is how many bytes of a stream the peer may send ahead of its
	// reader: from 256 KiB, where every yamux stream begins, to 1 MiB. More
	// than 256 KiB is granted to as many streams as fit half of the Budget.
	// Default 256 KiB.
	Window uint32

	// Budget bounds the memory that received data may hold. Sessions may share
	// one. Default: one of its own, of 64 MiB.
	Budget *Budget

	// Pace bounds the bytes per second of spliced streams. Sessions may share one.
	// Default: no bound.
	Pace *Pace

	// Rates bound what the peer makes us do.
	Rates Rates

	// KeepAlive is how long nothing is heard before the peer is pinged.
	// Default 15 s; negative: no pings.
	KeepAlive time.Duration

	// DeadAfter is how long nothing is heard before the session ends with
	// ErrDead. Who was asleep meanwhile, the process or its machine, listens once
	// more as long. Default 45 s; negative: never.
	DeadAfter time.Duration

	// AfterFunc makes the timers of keepalive and silence, which are always pending.
	// Their functions do not wait. Default: time.AfterFunc.
	AfterFunc func(time.Duration, func()) Timer

	// WriteTimeout is how long the peer may take for one write of at most 129
	// KiB before the session ends with ErrStalled. Default 10 s.
	WriteTimeout time.Duration

	// Handle, if set, is given each stream that the peer opens, in its turn,
	// in place of Accept. It is called as Notify calls. The reader is then
	// whoever calls Session.Run.
	Handle func(*Stream, *Batch)

	// Panicked, if set, is told what a goroutine or a timer of the session, or
	// whoever wrote for it, has panicked with, where debug.Stack still shows it. The
	// session then ends with ErrPanic; what Run calls panics in Run all the same. It may
	// be called on any goroutine.
	// Default: the panic goes on.
	Panicked func(any)

	// Lead lets a goroutine that waits in Stream.Read read the connection itself
	// while that is promising: while one stream is asked and answered in turn.
	// What comes for another stream may then be seen a little later: up to 1 ms, after a long streak up to 8 ms.
	Lead bool

	// Excess counts what went over a limit. Default: one of its own.
	Excess *Excess

	// Log gets a warning for each stream that is reset for its memory. It may
	// be called from several goroutines. Nil discards.
	Log *slog.Logger
}

// Timer is what Config.AfterFunc makes: a *time.Timer, or what is like one.
type Timer = interface {
	Reset(d time.Duration) bool
	Stop() bool
}

const (
	maxWindow  = 1 << 20
	defaultMax = 64 << 20 // of a Budget
)

func (c Config) withDefaults() Config {
	set(&c.MaxStreams, 1024)
	set(&c.Backlog, 64)
	set(&c.KeepAlive, 15*time.Second)
	set(&c.DeadAfter, 45*time.Second)
	set(&c.WriteTimeout, 10*time.Second)
	c.Window = min(max(c.Window, initialWindow), maxWindow)
	c.Rates = c.Rates.withDefaults()
	if c.Budget == nil {
		c.Budget = NewBudget(defaultMax)
	}
	if c.Pace == nil {
		c.Pace = new(Pace)
	}
	if c.AfterFunc == nil {
		c.AfterFunc = func(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
	}
	if c.Excess == nil {
		c.Excess = new(Excess)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func set[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}
