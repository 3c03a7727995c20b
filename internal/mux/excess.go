package mux

import "sync/atomic"

// Excess counts how often sessions have met their limits. Sessions may share one.
type Excess struct {
	Streams atomic.Int64 // incoming streams reset at Config.MaxStreams
	Backlog atomic.Int64 // incoming streams reset at Config.Backlog
	Opens   atomic.Int64 // waits for a turn in Rates.Opens
	Held    atomic.Int64 // streams reset for the Budget
	Whole   atomic.Int64 // streams reset for what the Budget is a part of
	Silent  atomic.Int64 // sessions that ended with ErrDead
	Stalled atomic.Int64 // sessions that ended with ErrStalled

	// Sessions that ended with ErrFlood, by what there was too much of.
	Resets, Pings, Updates, Empty atomic.Int64
	Early                         atomic.Int64 // opens that were reset before Accept
	Unread                        atomic.Int64 // pongs and resets that the peer does not take
	Gaps                          atomic.Int64 // ids left out
}
