package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/bench/internal/drive"
)

// profiles are the works that profile knows: the order to the caller, without
// name and time.
var profiles = map[string]drive.Request{
	"rtt":     {Op: "rtt", Size: message},
	"conc":    {Op: "conc", Size: message, Par: inFlight},
	"open":    {Op: "open", Size: message},
	"open64":  {Op: "open", Size: message, Par: inFlight},
	"bulk":    {Op: "bulk", Chunk: chunk, N: 16 << 20},
	"login":   {Op: "connrate", ID: "p", Par: 1},
	"login16": {Op: "connrate", ID: "p", Par: logins},
	"claim":   {Op: "claim", Prefix: "claim.n"},
	"list":    {Op: "list"},
	"entries": {Op: "entries"},
	"idle":    {Op: "hold", ID: "p"},
}

// profile runs one work on one subject, with profiles of all processes from its
// begin to its end.
func profile(args []string) error {
	works := strings.Join(slices.Sorted(maps.Keys(profiles)), ", ")
	fs := flag.NewFlagSet("profile", flag.ContinueOnError)
	work := fs.String("work", "bulk", works+"; list and entries have -names, idle -conns in all, neither being part of the profile but idle's")
	mode := fs.String("mode", "plain", "plain, box, tcp, or R, the bare relay")
	seconds := fs.Float64("seconds", 3, "how long")
	count := fs.Int("names", 1000, "names to list")
	conns := fs.Int("conns", 2000, "clients that are held while the profile runs")
	out := fs.String("o", "prof", "begin of the files' names: `OUT`.server, OUT.server.heap, OUT.caller, OUT.callee")
	if err := fs.Parse(args); err != nil {
		return err
	}
	q, ok := profiles[*work]
	if !ok {
		return fmt.Errorf("no such work: %q; there are %s", *work, works)
	}
	i := slices.IndexFunc(subjects, func(s subject) bool { return s.name == *mode && s.server != nil })
	if i < 0 {
		return fmt.Errorf("no such mode: %q", *mode)
	}
	st, caller, err := subjects[i].pair("-profile", *out+".server")
	if err != nil {
		return err
	}
	defer st.end()
	q.Name, q.Addr, q.Seconds, q.Conns = "callee", st.addr, *seconds, *conns
	switch *work {
	case "bulk": // one to learn how many bytes fill the time
		r, err := caller.do(q)
		if err != nil {
			return err
		}
		q.N = int(r.Rate * *seconds)
	case "claim":
		q.N, q.GapUS = int(*seconds*2000), 300
		if _, err := st.workers[0].do(drive.Request{Op: "watch"}); err != nil {
			return err
		}
	case "list", "entries":
		if _, err := caller.do(drive.Request{Op: "hold", Addr: st.addr, ID: "h", Prefix: "held.", Conns: 1, Names: *count}); err != nil {
			return err
		}
	}
	return st.profiled(caller, q, *out, time.Duration(*seconds*float64(time.Second)))
}

// profiled runs q with all profiles on and prints what it saw.
func (st *stage) profiled(caller *child, q drive.Request, out string, d time.Duration) error {
	callee := st.workers[0]
	turn := func(caller_, callee_ string, sig syscall.Signal) error {
		_, err1 := caller.do(drive.Request{Op: "profile", Name: caller_})
		_, err2 := callee.do(drive.Request{Op: "profile", Name: callee_})
		return errors.Join(err1, err2, st.server.cmd.Process.Signal(sig))
	}
	if err := turn(out+".caller", out+".callee", syscall.SIGUSR1); err != nil {
		return err
	}
	var r drive.Reply
	server, all, err := st.costing(func() (err error) {
		r, err = caller.do(q)
		if q.Op == "hold" {
			time.Sleep(d)
		}
		return err
	})
	if err = errors.Join(err, turn("", "", syscall.SIGUSR2)); err != nil {
		return err
	}
	for said := ""; said != "PROFILED" && err == nil; {
		said, err = st.server.line()
	}
	fmt.Printf("%.0f/s  p50 %.1f us  p99 %.1f us  n %d  cpu %.2f s, of the server %.2f s  server %.1f MiB\n",
		r.Rate, r.P50, r.P99, r.N, all.Seconds(), server.Seconds(), rss(st.server.pid())/1024)
	if q.Op == "bulk" {
		gb := float64(q.N) / 1e9
		fmt.Printf("%.2f cpu s/GB, of the server %.2f\n", all.Seconds()/gb, server.Seconds()/gb)
	}
	return err
}
