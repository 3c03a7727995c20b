package main

import (
	"slices"

	"github.com/cad2f06c/switchboard/bench/internal/drive"
)

const movesSeen = 100 // channels whose longest pause W6 looks for

// direct is W6: what a direct channel costs beside the bare connection that it
// is made of, and what it takes to come by one. D has no handshake; that of B is
// in its open.
func direct(s subject, o *options, saw func(string, float64)) error {
	st, caller, err := s.pair()
	if err != nil {
		return err
	}
	defer st.end()
	do := func(q drive.Request) (drive.Reply, error) {
		q.Name, q.Seconds = "callee", q.Seconds*o.scale
		return caller.do(q)
	}
	// A key may have 16 attempts pending: those of channels that end before they
	// have moved count for 15 s. So auto, which makes some in open, does that last.
	moves := s.name == "auto"
	if slices.Contains([]string{"auto", "plain"}, s.name) {
		r, err := do(drive.Request{Op: "stall", N: max(int(movesSeen*o.scale), 3), Chunk: chunk, Moves: moves})
		if err != nil {
			return err
		}
		saw("move_stall_p50", r.P50/1000)
		saw("move_stall_p99", r.P99/1000)
	}
	if !slices.Contains([]string{"D", "B", "plain"}, s.name) {
		r, err := do(drive.Request{Op: "first", Size: message, Seconds: 0.4})
		if err != nil {
			return err
		}
		saw("move_first_p50", r.P50)
		saw("move_first_p99", r.P99)
	}
	if !moves {
		if err := carry(do, saw, o); err != nil {
			return err
		}
	}
	r, err := do(drive.Request{Op: "open", Size: message, Seconds: 0.3})
	if err != nil {
		return err
	}
	saw("move_open_p50", r.P50)
	saw("move_open_p99", r.P99)
	return nil
}

// carry is the round trips and the bulk of W6.
func carry(do func(drive.Request) (drive.Reply, error), saw func(string, float64), o *options) error {
	r, err := do(drive.Request{Op: "rtt", Size: message, Seconds: 0.4})
	if err != nil {
		return err
	}
	saw("link_rtt_p50", r.P50)
	saw("link_rtt_p99", r.P99)
	q := drive.Request{Op: "bulk", N: 16 << 20, Chunk: chunk}
	if r, err = do(q); err != nil {
		return err
	}
	q.N = min(max(int(r.Rate*0.6*o.scale)>>20, 8), 8<<10) << 20
	if r, err = do(q); err != nil {
		return err
	}
	saw("link_bulk_rate", r.Rate/1e6)
	return nil
}
