package main

// What a figure compares with.
const (
	toR      = "R"    // it is a multiple of R's value, or of that of another subject by its name
	absolute = ""     // it is a value of its own
	scaledR  = "s/GB" // a value where R costs refCPU; it grows with R's cost
	scaledHS = "hs"   // a value where one core does refHandshakes; a rate grows with them, a cost shrinks
)

// The machine for which the scaled figures are given.
const (
	refCPU        = 0.89 // CPU seconds that R takes for a GB
	refHandshakes = 4700 // bare handshakes a second of one core
)

// figure is what is wanted of one measure.
type figure struct {
	work      string
	subject   string
	key       string
	unit      string // of must and aim
	to        string
	more      bool // more is better
	must, aim float64
}

// figures are what the project has set itself.
var figures = []figure{
	{"W1 p50, one at a time", "plain", "rtt_p50", "R", toR, false, 1.7, 1.35},
	{"W1 p50, one at a time", "box", "rtt_p50", "R", toR, false, 1.8, 1.45},
	{"W1 ops, 64 in flight", "plain", "rtt64_ops", "R", toR, true, 2.0, 3.5},
	{"W1 ops, 64 in flight", "box", "rtt64_ops", "R", toR, true, 1.6, 2.6},
	{"W1 open + call + close, p50", "plain", "open_p50", "R", toR, false, 0.9, 0.75},
	{"W1 open + call + close, p50", "box", "open_p50", "R", toR, false, 0.9, 0.75},
	{"W1 the same, 64 in flight", "plain", "open64_ops", "R", toR, true, 3.2, 6},
	{"W1 the same, 64 in flight", "box", "open64_ops", "R", toR, true, 3.2, 6},
	{"W2 cost", "plain", "bulk_cpu", "CPU s/GB", scaledR, false, 1.0, 0.85},
	{"W2 rate", "plain", "bulk_rate", "R", toR, true, 0.95, 1.1},
	{"W2 cost", "box", "bulk_cpu", "CPU s/GB", scaledR, false, 4.2, 3.3},
	{"W2 rate", "box", "bulk_rate", "R", toR, true, 0.23, 0.28},
	{"W3 logins, 16 at a time", "plain", "login_rate", "/s", scaledHS, true, 2800, 3300},
	{"W3 logins, 16 at a time", "box", "login_rate", "/s", scaledHS, true, 2800, 3300},
	{"W3 server's cost", "plain", "login_server", "CPU µs", scaledHS, false, 310, 260},
	{"W3 server's cost", "box", "login_server", "CPU µs", scaledHS, false, 310, 260},
	{"W4 claim → watcher, p50", "plain", "claim_p50", "R", toR, false, 1.3, 1.1},
	{"W4 claim → watcher, p50", "box", "claim_p50", "R", toR, false, 1.3, 1.1},
	{"W4 list of 1,000", "box", "list1000_p50", "R", toR, false, 2.3, 1.7},
	{"W4 list of 10,000", "box", "list10000_p50", "R", toR, false, 1.6, 1.2},
	{"W5 an idle connection of 5,000", "plain", "mem_5k", "KiB", absolute, false, 24, 14},
	{"W5 an idle connection of 5,000", "box", "mem_5k", "KiB", absolute, false, 38, 20},
	{"W5 5,000 idle clients", "plain", "mem_idle", "% of a core", absolute, false, 1, 0.3},
	{"W5 5,000 idle clients", "box", "mem_idle", "% of a core", absolute, false, 1, 0.3},
	{"a decision, 1,000 peers with 20 rules", "policy", "decide", "ns", absolute, false, 200, 200},
	{"W6 p50, one at a time", "direct", "link_rtt_p50", "D", "D", false, 1.1, 1.05},
	{"W6 rate", "direct", "link_bulk_rate", "D", "D", true, 0.8, 0.95},
	{"W6 p50, one at a time", "direct-fd", "link_rtt_p50", "D", "D", false, 1.1, 1.05},
	{"W6 rate", "direct-fd", "link_bulk_rate", "D", "D", true, 0.8, 0.95},
	{"W6 p50, one at a time", "direct-tcp", "link_rtt_p50", "B", "B", false, 1.1, 1.05},
	{"W6 rate", "direct-tcp", "link_bulk_rate", "B", "B", true, 0.91, 0.95},
	{"W6 open + call + close, p50", "auto", "move_open_p50", "plain", "plain", false, 1.1, 1.05},
	{"W6 longest pause of a move, p99", "auto", "move_stall_p99", "ms", absolute, false, 10, 5},
}

// verdict is one figure beside what was seen.
type verdict struct {
	figure
	seen float64 // in the figure's unit
	ok   bool    // something was seen
}

// judge compares a run with the figures. Scaled ones are brought to its machine.
func (r *results) judge() (all []verdict) {
	costR, _ := r.median("R", "bulk_cpu")
	hs := median(r.Cores)
	for _, f := range figures {
		v := verdict{figure: f}
		v.seen, v.ok = r.median(f.subject, f.key)
		by := 1.0
		switch f.to {
		case absolute:
		case scaledR:
			by = costR / refCPU
		case scaledHS:
			by = hs / refHandshakes
			if !f.more && by > 0 {
				by = 1 / by
			}
		default:
			v.seen, v.ok = r.ratio(f.subject, f.to, f.key)
		}
		if by > 0 {
			v.must, v.aim = f.must*by, f.aim*by
		}
		all = append(all, v)
	}
	return all
}

// word says how far a figure is met.
func (v verdict) word() string {
	met := func(want float64) bool { return v.seen <= want && !v.more || v.seen >= want && v.more }
	switch {
	case met(v.aim):
		return "aim met"
	case met(v.must):
		return "met"
	}
	return "not met"
}
