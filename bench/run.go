package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/bench/internal/board"
)

// options are the settings of a run.
type options struct {
	rounds   int
	scale    float64       // of all measuring times
	works    string        // of "123456"
	idle     time.Duration // in which W5 watches the idle server; 0: not at all
	idleFor  time.Duration // the same, in the last round
	subjects []subject
	verbose  bool
}

// round holds what one round has seen, by subject and key.
type round map[string]map[string]float64

// results are a run, in the form of -json.
type results struct {
	Commit   string    `json:"commit"`
	Machine  string    `json:"machine"`
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"`
	Scale    float64   `json:"scale"`
	Limits   string    `json:"limits"`     // that the server raised
	Others   float64   `json:"others"`     // share of the machine that other programs took; -1: not known
	Subjects []string  `json:"subjects"`   // in the order of the tables
	Rounds   []round   `json:"rounds"`     // what was seen
	Cores    []float64 `json:"handshakes"` // bare ones a second of one core, by round; none if not known
	Failed   []string  `json:"failed"`     // works that ended early
	works    string    // that were asked for
}

// measure is the command run.
func measure(args []string) error {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	var o options
	fs.IntVar(&o.rounds, "rounds", 5, "rounds; what is printed are medians over them")
	fs.Float64Var(&o.scale, "scale", 1, "multiplies every measuring time")
	fs.StringVar(&o.works, "works", "123456", "which of W1 to W6")
	fs.DurationVar(&o.idleFor, "idle", 32*time.Second, "how long W5 watches the idle server, in the last round; two keepalives are 30 s")
	modes := fs.String("modes", "plain,box,direct,direct-fd,direct-tcp,auto", "which of ours: plain, box, tcp, and of W6 direct, direct-fd, direct-tcp, auto")
	jsonFile := fs.String("json", "", "write every round's values to `FILE`")
	mdFile := fs.String("md", "", "write the tables as Markdown to `FILE`, as in RESULTS.md")
	fs.BoolVar(&o.verbose, "v", false, "tell each step")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var err error
	if o.subjects, err = choose(*modes); err != nil {
		return err
	}
	if o.rounds < 1 || o.scale <= 0 || fs.NArg() > 0 {
		return errors.New("-rounds and -scale want a positive number, and there are no arguments")
	}
	r := run(&o)
	t := r.tables()
	t.print(os.Stdout)
	if *mdFile != "" {
		err = writeFile(*mdFile, t.markdown)
	}
	if *jsonFile != "" {
		err = errors.Join(err, writeFile(*jsonFile, func(f *os.File) error {
			enc := json.NewEncoder(f)
			enc.SetIndent("", " ")
			return enc.Encode(r)
		}))
	}
	if len(r.Failed) > 0 {
		err = errors.Join(err, fmt.Errorf("%d works ended early", len(r.Failed)))
	}
	return err
}

// choose returns D, R, B and the subjects of a list of modes.
func choose(modes string) ([]subject, error) {
	chosen := []string{"D", "R", "B"}
	for _, m := range strings.Split(modes, ",") {
		if slices.Contains(chosen[:3], m) || !slices.ContainsFunc(subjects, func(s subject) bool { return s.name == m }) {
			return nil, fmt.Errorf("no such mode: %q", m)
		}
		chosen = append(chosen, m)
	}
	var all []subject
	for _, s := range subjects {
		if slices.Contains(chosen, s.name) {
			all = append(all, s)
		}
	}
	return all, nil
}

// run does all rounds: in each, one work after the other, and for each work one
// subject after the other, beginning with another one each time.
func run(o *options) *results {
	r := &results{Commit: commit(), Began: time.Now().UTC().Truncate(time.Second), Scale: o.scale, Limits: board.Raised(), works: o.works,
		Machine: fmt.Sprintf("%d × %s, %s", runtime.NumCPU(), machine(), runtime.Version())}
	for _, s := range o.subjects {
		r.Subjects = append(r.Subjects, s.name)
	}
	began, busy0, ours0 := time.Now(), busy(), ourTime()
	for n := range o.rounds {
		seen := make(round)
		o.idle = 0
		if n == o.rounds-1 {
			o.idle = o.idleFor
		}
		if rate, err := handshakes(200 * time.Millisecond); err == nil {
			r.Cores = append(r.Cores, rate)
		}
		if d, err := decisions(100 * time.Millisecond); err == nil {
			seen["policy"] = d
		} else {
			r.Failed = append(r.Failed, "policy: "+err.Error())
		}
		for _, w := range workloads {
			if !strings.Contains(o.works, w.number) {
				continue
			}
			for i := range o.subjects {
				s := o.subjects[(i+n)%len(o.subjects)]
				if strings.Contains(s.works, w.number) {
					r.one(n, w, s, o, seen)
				}
			}
		}
		r.Rounds = append(r.Rounds, seen)
	}
	took := time.Since(began)
	r.Seconds, r.Others = took.Seconds(), -1
	if b := busy() - busy0; b > 0 {
		r.Others = max(0, (b-(ourTime()-ours0)).Seconds()/took.Seconds()/float64(runtime.NumCPU()))
	}
	return r
}

// one does one work with one subject.
func (r *results) one(n int, w workload, s subject, o *options, seen round) {
	began := time.Now()
	if seen[s.name] == nil {
		seen[s.name] = make(map[string]float64)
	}
	if err := w.do(s, o, func(key string, v float64) {
		if v != 0 || tellsOfOthers {
			seen[s.name][key] = v
		}
	}); err != nil {
		r.Failed = append(r.Failed, fmt.Sprintf("round %d, W%s, %s: %v", n+1, w.number, s.name, err))
		fmt.Fprintln(os.Stderr, "bench:", r.Failed[len(r.Failed)-1])
	}
	if o.verbose {
		fmt.Fprintf(os.Stderr, "round %d W%s %s %.1f s\n", n+1, w.number, s.name, time.Since(began).Seconds())
	}
}

// ourTime is the processor time of this process and of its children that ended.
func ourTime() (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// commit is the revision that is measured, with + if files were changed since.
func commit() string {
	rev, err := exec.Command("git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	s := strings.TrimSpace(string(rev))
	if exec.Command("git", "diff", "--quiet", "HEAD").Run() != nil {
		s += "+"
	}
	return s
}

func writeFile(name string, write func(*os.File) error) error {
	f, err := os.Create(filepath.Clean(name))
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
