package main

import (
	"os"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/bench/internal/board"
	"github.com/cad2f06c/switchboard/bench/internal/drive"
)

// The bench starts itself, which here is the test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "worker") {
		main()
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // of those it starts
	os.Exit(m.Run())
}

// Every work but W5, whose 5,000 clients take their time, sees something of every
// subject, and ends without a child left.
func TestRun(t *testing.T) {
	chosen, err := choose("plain,box,tcp,direct,direct-fd,direct-tcp,auto")
	if err != nil {
		t.Fatal(err)
	}
	r := run(&options{rounds: 1, scale: 0.02, works: "1236", subjects: chosen})
	for _, f := range r.Failed {
		t.Error(f)
	}
	for _, m := range measures {
		for _, s := range chosen {
			if !strings.Contains("123", m.work) || m.work == "6" || !strings.Contains(s.works, m.work) {
				continue
			}
			if s.name == "D" && m.key == "bulk_server" || strings.HasSuffix(m.key, "_cpu") || strings.HasSuffix(m.key, "_server") {
				continue // there is none, or no clock for it
			}
			if v, _ := r.median(s.name, m.key); v <= 0 {
				t.Errorf("%s of %s: got %v", m.key, s.name, v)
			}
		}
	}
	for _, v := range r.judge() {
		if strings.HasPrefix(v.work, "W6") && (!v.ok || v.seen <= 0) {
			t.Errorf("%s of %s: got %v", v.work, v.subject, v.seen)
		}
	}
	var text strings.Builder
	r.tables().print(&text)
	for _, want := range []string{"R costs", "CallRate", "W1 ", "W2 ", "W3 ", "W6 ", "Figures"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

// W4 in small: what a watcher sees, and lists, of all that have names.
func TestNames(t *testing.T) {
	for _, s := range subjects {
		if !strings.Contains(s.works, "4") {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			st, caller, err := s.pair()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(st.end)
			do := func(w *child, q drive.Request) drive.Reply {
				t.Helper()
				r, err := w.do(q)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			callee := st.workers[0]
			do(callee, drive.Request{Op: "watch"})
			do(caller, drive.Request{Op: "claim", Prefix: "c.", N: 3})
			if r := do(callee, drive.Request{Op: "seen", Prefix: "c.", N: 3, Seconds: 10}); len(r.Times) != 3 {
				t.Errorf("seen %v, want 3 names", r.Times)
			}
			if r := do(caller, drive.Request{Op: "hold", Addr: st.addr, ID: "h", Prefix: "h.", Conns: 3, Names: 2}); r.N != 3 {
				t.Errorf("%d held, want 3", r.N)
			}
			for _, op := range []string{"list", "entries"} {
				if r := do(caller, drive.Request{Op: op}); r.N != 7 {
					t.Errorf("%s: %d names, want 7", op, r.N)
				}
			}
			do(caller, drive.Request{Op: "drop"})
			if _, err := caller.do(drive.Request{Op: "nothing"}); err == nil {
				t.Error("an unknown order was obeyed")
			}
		})
	}
}

// README.md says why each limit is raised.
func TestLimitsAreStated(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for limit := range strings.SplitSeq(board.Raised(), ", ") {
		if name, _, _ := strings.Cut(limit, " "); !strings.Contains(string(text), name) {
			t.Errorf("README.md does not say why %s is raised", name)
		}
	}
}

func TestJudge(t *testing.T) {
	r := &results{Cores: []float64{9400}, Rounds: []round{
		{"R": {"rtt_p50": 50, "bulk_cpu": 1.78}, "plain": {"rtt_p50": 75, "bulk_cpu": 1.9, "login_rate": 5000, "login_server": 150, "mem_idle": 2}},
		{"R": {"rtt_p50": 80, "bulk_cpu": 1.78}, "plain": {"rtt_p50": 160}},
		{"R": {"rtt_p50": 10, "bulk_cpu": 1.78}, "plain": {"rtt_p50": 16}},
	}}
	want := map[string]struct {
		seen, must float64
		word       string
	}{
		"rtt_p50":      {1.6, 1.7, "met"}, // of 1.5, 2 and 1.6, not of the medians
		"bulk_cpu":     {1.9, 2, "met"},
		"login_rate":   {5000, 5600, "not met"},
		"login_server": {150, 155, "met"},
		"mem_idle":     {2, 1, "not met"},
	}
	for _, v := range r.judge() {
		w, ok := want[v.key]
		if ok != v.ok && v.subject == "plain" || v.ok && v.subject != "plain" {
			t.Errorf("%s of %s: seen %v", v.key, v.subject, v.ok)
		}
		if v.ok && (v.seen != w.seen || v.must != w.must || v.word() != w.word) {
			t.Errorf("%s: got %v, %v, %s, want %v", v.key, v.seen, v.must, v.word(), w)
		}
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("got %v, want 2.5", got)
	}
}
