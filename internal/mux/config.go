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
	// reader. Default and least 256 KiB, where every yamux stream begins.
	Window uint32

	// MaxHeld is how many bytes of memory received and unread data may hold in
	// the whole session. Over it the fullest stream is reset. Default 64 MiB.
	MaxHeld int

	// KeepAlive is how long nothing is heard before the peer is pinged.
	// Default 15 s; negative: no pings.
	KeepAlive time.Duration

	// DeadAfter is how long nothing is heard before the session ends with
	// ErrDead. Default 45 s; negative: never.
	DeadAfter time.Duration

	// WriteTimeout is how long the peer may take for one write of at most 64
	// KiB before the session ends with ErrStalled. Default 10 s.
	WriteTimeout time.Duration

	// Log gets a warning for each stream that is reset for its memory. It may
	// be called from several goroutines. Nil discards.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	set(&c.MaxStreams, 1024)
	set(&c.Backlog, 64)
	set(&c.MaxHeld, 64<<20)
	set(&c.KeepAlive, 15*time.Second)
	set(&c.DeadAfter, 45*time.Second)
	set(&c.WriteTimeout, 10*time.Second)
	c.Window = max(c.Window, initialWindow)
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
