package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/cad2f06c/switchboard/bench/internal/drive"
)

const (
	message  = 64       // bytes of W1, there and back
	chunk    = 64 << 10 // bytes a write of W2
	inFlight = 64       // of W1
	logins   = 16       // at a time, of W3
	settle   = 500 * time.Millisecond
)

// work is one of W1 to W6. It reports what it saw by keys of the table.
type workload struct {
	number string
	do     func(s subject, o *options, saw func(key string, v float64)) error
}

var workloads = []workload{
	{"1", calls},
	{"2", bulk},
	{"3", connect},
	{"4", names},
	{"5", memory},
	{"6", direct},
}

func micros(d time.Duration, n int) float64 {
	return float64(d) / float64(time.Microsecond) / float64(max(n, 1))
}

// calls is W1: round trips on a channel, on 64 channels, and on new channels.
func calls(s subject, o *options, saw func(string, float64)) error {
	st, caller, err := s.pair()
	if err != nil {
		return err
	}
	defer st.end()
	for _, w := range []struct {
		key, op string
		par     int
		seconds float64
	}{
		{"rtt", "rtt", 1, 0.4}, {"rtt64", "conc", inFlight, 0.5}, {"open", "open", 1, 0.3}, {"open64", "open", inFlight, 0.4},
	} {
		var r drive.Reply
		_, all, err := st.costing(func() (err error) {
			r, err = caller.do(drive.Request{Op: w.op, Name: "callee", Size: message, Par: w.par, Seconds: w.seconds * o.scale})
			return err
		})
		if err != nil {
			return err
		}
		saw(w.key+"_p50", r.P50)
		saw(w.key+"_p99", r.P99)
		saw(w.key+"_ops", r.Rate)
		if w.op != "rtt" { // which has a warm-up that N does not count
			saw(w.key+"_cpu", micros(all, r.N))
		}
	}
	return nil
}

// bulk is W2: as many bytes as take 0.6 s, from write to the callee's last read.
func bulk(s subject, o *options, saw func(string, float64)) error {
	st, caller, err := s.pair()
	if err != nil {
		return err
	}
	defer st.end()
	q := drive.Request{Op: "bulk", Name: "callee", N: 16 << 20, Chunk: chunk}
	r, err := caller.do(q)
	if err != nil {
		return err
	}
	q.N = min(max(int(r.Rate*0.6*o.scale)>>20, 8), 8<<10) << 20
	server, all, err := st.costing(func() (err error) {
		r, err = caller.do(q)
		return err
	})
	if err != nil {
		return err
	}
	gb := float64(q.N) / 1e9
	saw("bulk_rate", r.Rate/1e6)
	saw("bulk_cpu", all.Seconds()/gb)
	if st.server != nil {
		saw("bulk_server", server.Seconds()/gb)
	}
	return nil
}

// connect is W3: dial, log in, be greeted, close.
func connect(s subject, o *options, saw func(string, float64)) error {
	st, err := s.setup()
	if err != nil {
		return err
	}
	defer st.end()
	if err := st.add(s, 1); err != nil {
		return err
	}
	q := drive.Request{Op: "connrate", Addr: st.addr, ID: "a", Par: 1, Seconds: 0.4 * o.scale}
	r, err := st.workers[0].do(q)
	if err != nil {
		return err
	}
	saw("login_p50", r.P50)
	saw("login_p99", r.P99)
	q.ID, q.Par, q.Seconds = "b", logins, 0.6*o.scale
	server, all, err := st.costing(func() (err error) {
		r, err = st.workers[0].do(q)
		return err
	})
	if err != nil {
		return err
	}
	saw("login_rate", r.Rate)
	saw("login_cpu", micros(all, r.N))
	saw("login_server", micros(server, r.N))
	return nil
}

// names is W4: claims seen by a watcher, with few names and with 1,000 of as many
// other clients, and lists of 1,000 and 10,000 names.
func names(s subject, o *options, saw func(string, float64)) error {
	st, err := s.setup()
	if err != nil {
		return err
	}
	defer st.end()
	if err := st.add(s, 3); err != nil {
		return err
	}
	if err := st.dial(); err != nil {
		return err
	}
	watcher, claimer, holder := st.workers[0], st.workers[1], st.workers[2]
	if _, err := watcher.do(drive.Request{Op: "watch"}); err != nil {
		return err
	}
	list := func(op string, n int) error {
		r, err := claimer.do(drive.Request{Op: op, Seconds: 0.3 * o.scale})
		if err == nil && r.N < n {
			err = fmt.Errorf("%s: %d names, want %d", op, r.N, n)
		}
		saw(fmt.Sprintf("%s%d_p50", op, n), r.P50)
		return err
	}
	hold := func(id string, conns, names int) error {
		_, err := holder.do(drive.Request{Op: "hold", Addr: st.addr, ID: id, Prefix: "held." + id, Conns: conns, Names: names})
		return err
	}
	for _, step := range []func() error{
		func() error { return notify("claim", watcher, claimer, o, saw) },
		func() error { return hold("a", 1000, 1) },
		func() error { return notify("claim1k", watcher, claimer, o, saw) },
		func() error { return list("list", 1000) },
		func() error { return hold("b", 9, 1000) },
		func() error { return list("list", 10000) },
		func() error { return list("entries", 10000) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// notify measures from the begin of a claim in one process to the watcher's
// callback in another, by the wall clock.
func notify(key string, watcher, claimer *child, o *options, saw func(string, float64)) error {
	n := max(int(200*o.scale), 40)
	prefix := key + ".n"
	claimed, err := claimer.do(drive.Request{Op: "claim", Prefix: prefix, N: n, GapUS: 300})
	if err != nil {
		return err
	}
	seen, err := watcher.do(drive.Request{Op: "seen", Prefix: prefix, N: n, Seconds: 5})
	if err != nil {
		return err
	}
	var took []float64
	for name, begun := range claimed.Times {
		if at, ok := seen.Times[name]; ok {
			took = append(took, float64(at-begun)/1e3)
		}
	}
	if len(took) < n {
		return fmt.Errorf("watch: %d of %d names were seen", len(took), n)
	}
	slices.Sort(took)
	saw(key+"_p50", took[len(took)/2])
	saw(key+"_p99", took[len(took)*99/100])
	return nil
}

// memory is W5: the server's resident memory with 20, 1,020 and 5,020 clients
// that do nothing, and its processor time then.
func memory(s subject, o *options, saw func(string, float64)) error {
	st, err := s.setup()
	if err != nil {
		return err
	}
	defer st.end()
	if err := st.add(s, 1); err != nil {
		return err
	}
	hold := func(id string, n int) (kib float64, err error) {
		_, err = st.workers[0].do(drive.Request{Op: "hold", Addr: st.addr, ID: id, Conns: n})
		time.Sleep(settle)
		return rss(st.server.pid()), err
	}
	base, err := hold("a", 20)
	if err != nil {
		return err
	}
	at1k, err := hold("b", 1000)
	if err != nil {
		return err
	}
	at5k, err := hold("c", 4000)
	if err != nil {
		return err
	}
	saw("mem_base", base/1024)
	saw("mem_1k", (at1k-base)/1000)
	saw("mem_5k", (at5k-base)/5000)
	if o.idle == 0 {
		return nil
	}
	server, _, err := st.costing(func() error {
		time.Sleep(o.idle)
		return nil
	})
	saw("mem_idle", 100*server.Seconds()/o.idle.Seconds())
	return err
}
