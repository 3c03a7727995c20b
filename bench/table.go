package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// measures are the rows of the tables. What has no ratio is a cost of its own kind.
var measures = []struct {
	work, key, name, unit string
	ratio                 bool // worth a ratio to R
}{
	{"1", "rtt_p50", "call, one at a time, p50", "µs", true},
	{"1", "rtt_p99", "the same, p99", "µs", true},
	{"1", "rtt64_ops", "64 in flight", "/s", true},
	{"1", "rtt64_p50", "the same, p50", "µs", false},
	{"1", "rtt64_p99", "the same, p99", "µs", false},
	{"1", "rtt64_cpu", "the same, CPU of an op", "µs", true},
	{"1", "open_p50", "open + call + close, p50", "µs", true},
	{"1", "open_p99", "the same, p99", "µs", false},
	{"1", "open_cpu", "the same, CPU of an op", "µs", true},
	{"1", "open64_ops", "64 in flight", "/s", true},
	{"1", "open64_p99", "the same, p99", "µs", false},
	{"1", "open64_cpu", "the same, CPU of an op", "µs", true},
	{"2", "bulk_rate", "64 KiB writes", "MB/s", true},
	{"2", "bulk_cpu", "CPU, all processes", "s/GB", true},
	{"2", "bulk_server", "CPU, server alone", "s/GB", true},
	{"3", "login_p50", "connect and be greeted, p50", "µs", true},
	{"3", "login_p99", "the same, p99", "µs", false},
	{"3", "login_rate", "16 at a time", "/s", true},
	{"3", "login_cpu", "the same, CPU of one", "µs", false},
	{"3", "login_server", "the same, server alone", "µs", false},
	{"4", "claim_p50", "claim → watcher, p50", "µs", true},
	{"4", "claim_p99", "the same, p99", "µs", false},
	{"4", "claim1k_p50", "with 1,000 names, p50", "µs", true},
	{"4", "claim1k_p99", "the same, p99", "µs", false},
	{"4", "list1000_p50", "list of 1,000 names alone, p50", "µs", true},
	{"4", "list10000_p50", "list of 10,000 names alone, p50", "µs", true},
	{"4", "entries10000_p50", "10,000 whole entries, decoded, p50", "µs", true},
	{"5", "mem_base", "server with 20 clients", "MiB", false},
	{"5", "mem_1k", "an idle connection of 1,000", "KiB", true},
	{"5", "mem_5k", "an idle connection of 5,000", "KiB", true},
	{"5", "mem_idle", "5,000 idle clients", "% of a core", false},
	{"6", "link_rtt_p50", "call, one at a time, p50", "µs", true},
	{"6", "link_rtt_p99", "the same, p99", "µs", false},
	{"6", "link_bulk_rate", "64 KiB writes", "MB/s", true},
	{"6", "move_first_p50", "open to the first answer over the link, p50", "µs", false},
	{"6", "move_first_p99", "the same, p99", "µs", false},
	{"6", "move_open_p50", "open + call + close, p50", "µs", true},
	{"6", "move_open_p99", "the same, p99", "µs", false},
	{"6", "move_stall_p50", "longest pause around a move under load, p50", "ms", false},
	{"6", "move_stall_p99", "the same, p99", "ms", false},
}

// titles name the works.
var titles = map[string]string{
	"1": "W1 64 B there and back",
	"2": "W2 bulk",
	"3": "W3 connect: dial, handshake, session, greeting, close",
	"4": "W4 names",
	"5": "W5 memory of the server",
	"6": "W6 direct",
}

// table is a title, a head and rows.
type table struct {
	title string
	rows  [][]string // the first is the head
}

// report is what a run prints.
type report struct {
	intro  []string
	tables []table
	failed []string
}

func (r *results) tables() report {
	costR, _ := r.median("R", "bulk_cpu")
	rep := report{failed: r.Failed}
	others := ""
	if r.Others >= 0 {
		others = fmt.Sprintf("; other programs took %.0f %% of the machine", 100*r.Others)
		if r.Others > 0.05 {
			others = "; a busy machine" + others
		}
	}
	rep.intro = []string{
		fmt.Sprintf("Commit %s, %s, %d rounds of scale %g in %v%s.", r.Commit, r.Began.Format(time.DateTime+"Z"), len(r.Rounds), r.Scale,
			time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), others),
		"Machine: " + r.Machine + ".",
		fmt.Sprintf("R costs %s CPU s/GB; one core does %s bare handshakes a second.", number(costR), number(median(r.Cores))),
		fmt.Sprintf("A decision of a policy of 1,000 peers with 20 rules each takes %s ns, a look-up in a map of as many names %s ns.",
			r.shown("policy", "decide"), r.shown("policy", "look_up")),
		"Limits that the server raised: " + r.Limits + ".",
	}
	for _, work := range strings.Split("123456", "") {
		if t := r.table(work); len(t.rows) > 1 {
			rep.tables = append(rep.tables, t)
		}
	}
	rep.tables = append(rep.tables, r.figures())
	return rep
}

// table is one work: a row for each measure, a column for each subject that has
// one, and in brackets the ratios to R and to D; of W6 to D, B and plain.
func (r *results) table(work string) table {
	bases := []string{"R", "D"}
	if work == "6" {
		bases = []string{"D", "B", "plain"}
	}
	var who []string
	for _, s := range r.Subjects {
		for _, m := range measures {
			if _, ok := r.median(s, m.key); ok && m.work == work {
				who = append(who, s)
				break
			}
		}
	}
	t := table{title: titles[work], rows: [][]string{append([]string{"", "unit"}, who...)}}
	for _, m := range measures {
		row, any := []string{m.name, m.unit}, false
		for _, s := range who {
			cell := "-"
			if v, ok := r.median(s, m.key); ok {
				any, cell = true, number(v)
			}
			var ratios []string
			for _, base := range bases {
				if x, ok := r.ratio(s, base, m.key); ok && m.ratio && s != base {
					ratios = append(ratios, number(x)+" "+base)
				}
			}
			if ratios != nil {
				cell += " (" + strings.Join(ratios, ", ") + ")"
			}
			row = append(row, cell)
		}
		if m.work == work && any {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// figures is the table of what is wanted, beside what was seen.
func (r *results) figures() table {
	t := table{title: "Figures: must, aim (scaled to this machine) and seen", rows: [][]string{{"", "of", "unit", "must", "aim", "seen", ""}}}
	for _, v := range r.judge() {
		if v.ok {
			t.rows = append(t.rows, []string{v.work, v.subject, v.unit, number(v.must), number(v.aim), number(v.seen), v.word()})
		}
	}
	return t
}

// median is over the rounds that have the value; false if none has.
func (r *results) median(subject, key string) (float64, bool) {
	var all []float64
	for _, seen := range r.Rounds {
		if v, ok := seen[subject][key]; ok {
			all = append(all, v)
		}
	}
	return median(all), len(all) > 0
}

// shown is median as text.
func (r *results) shown(subject, key string) string {
	if v, ok := r.median(subject, key); ok {
		return number(v)
	}
	return "?"
}

// ratio is the median of the rounds' ratios to another subject's value; false if
// there is none.
func (r *results) ratio(subject, base, key string) (float64, bool) {
	var all []float64
	for _, seen := range r.Rounds {
		if v, by := seen[subject][key], seen[base][key]; v > 0 && by > 0 {
			all = append(all, v/by)
		}
	}
	return median(all), len(all) > 0
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// number writes three significant digits, or all before the point.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (rep report) print(w io.Writer) {
	for _, line := range rep.intro {
		fmt.Fprintln(w, line)
	}
	for _, t := range rep.tables {
		fmt.Fprintf(w, "\n%s\n", t.title)
		tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		for _, row := range t.rows {
			fmt.Fprintln(tw, strings.Join(row, "\t"))
		}
		tw.Flush()
	}
	for _, f := range rep.failed {
		fmt.Fprintln(w, "failed:", f)
	}
}

func (rep report) markdown(f *os.File) error {
	var b strings.Builder
	b.WriteString("# Results of the bench\n\nWritten by `go run ./bench -md bench/RESULTS.md`; README.md tells how to read it.\n\n")
	for _, line := range rep.intro {
		b.WriteString("- " + line + "\n")
	}
	for _, t := range rep.tables {
		b.WriteString("\n## " + t.title + "\n\n")
		for i, row := range t.rows {
			b.WriteString("| " + strings.Join(row, " | ") + " |\n")
			if i == 0 {
				b.WriteString("|" + strings.Repeat(" --- |", len(row)) + "\n")
			}
		}
	}
	for _, failed := range rep.failed {
		b.WriteString("\n- failed: " + failed + "\n")
	}
	_, err := f.WriteString(b.String())
	return err
}
