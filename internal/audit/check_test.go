package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// build makes the lines of a log with n records, every so many of them a head; each
// without its line end.
func build(n, every int) (lines [][]byte) {
	var c chain
	for i := range n {
		r := Record{Wall: int64(i), Mono: int64(i), Boot: "0123456789abcdef", Event: Event{Event: "connect.denied",
			Actor: fmt.Sprintf("@%d", i%7), Name: "org.example", Reason: "a\tb", Attrs: map[string]string{"k": "v"}}}
		if i%every == every-1 {
			r.Event = c.head(sign)
		}
		lines = append(lines, bytes.TrimSuffix(c.add(nil, &r), []byte("\n")))
	}
	return lines
}

// check follows lines from a checker's place to the end.
func check(c checker, lines ...[]byte) *Fault {
	for _, line := range lines {
		if f := c.line(line); f != nil {
			return f
		}
	}
	return c.end()
}

// states are the checker's before each line, and after the last.
func states(t *testing.T, lines [][]byte, held ...Head) (all []checker) {
	t.Helper()
	c := checker{verify: verify, held: held}
	for _, line := range lines {
		all = append(all, c)
		if f := c.line(line); f != nil {
			t.Fatal(f)
		}
	}
	return append(all, c)
}

// wantSeq asserts that a fault was found, and where.
func wantSeq(t *testing.T, f *Fault, seq int, what string, args ...any) {
	t.Helper()
	if f == nil || f.Seq != uint64(seq) {
		t.Fatalf(what+": found %v, want record %d", append(args, f, seq)...)
	}
}

// TestF67 changes a log of 1,000 records in every place: the first record that is bad
// is named. What comes before a change is as it was, so each check begins there.
func TestF67(t *testing.T) {
	const n, every = 1000, 100
	lines := build(n, every)
	before := states(t, lines)
	after := func(i int) [][]byte { return lines[i:min(i+2, n)] }
	with := func(line []byte, rest ...[]byte) [][]byte { return append([][]byte{line}, rest...) }

	t.Run("flip", func(t *testing.T) {
		for i, line := range lines {
			changed := bytes.Clone(line)
			for j := range line {
				changed[j] ^= 1 << ((i + j) % 8)
				if f := check(before[i], changed); f == nil || f.Seq != uint64(i+1) {
					t.Fatalf("byte %d of line %d: found %v", j, i+1, f)
				}
				changed[j] = line[j]
			}
			if i+1 < n { // the line end
				joined := bytes.Join([][]byte{line, lines[i+1]}, []byte{'\n' ^ 1<<(i%8)})
				wantSeq(t, check(before[i], joined), i+1, "the end of line %d", i+1)
			}
		}
	})
	t.Run("delete a byte", func(t *testing.T) {
		for i, line := range lines {
			for j := range line {
				shorter := append(bytes.Clone(line[:j]), line[j+1:]...)
				wantSeq(t, check(before[i], shorter), i+1, "byte %d of line %d", j, i+1)
			}
		}
	})
	t.Run("truncate", func(t *testing.T) {
		for i, line := range lines {
			for j := range line[:len(line)-1] {
				wantSeq(t, check(before[i], line[:j]), i+1, "line %d after %d bytes", i+1, j)
			}
		}
	})
	t.Run("delete a line", func(t *testing.T) {
		for i := range n - 1 {
			wantSeq(t, check(before[i], after(i+1)...), i+1, "line %d", i+1)
		}
	})
	t.Run("reorder", func(t *testing.T) {
		for i := range n - 1 {
			wantSeq(t, check(before[i], lines[i+1], lines[i]), i+1, "lines %d and %d", i+1, i+2)
		}
		for range 1000 {
			i, j := rand.IntN(n), rand.IntN(n)
			if i > j {
				i, j = j, i
			}
			if i < j {
				wantSeq(t, check(before[i], lines[j]), i+1, "line %d in place of %d", j+1, i+1)
			}
		}
	})
	t.Run("twice", func(t *testing.T) {
		for i := range n {
			wantSeq(t, check(before[i+1], lines[i]), i+2, "line %d", i+1)
		}
	})
	t.Run("by a knower", func(t *testing.T) { // who makes the checksum good
		for i, line := range lines[:n-1] {
			r, err := ParseRecord(line)
			if err != nil {
				t.Fatal(err)
			}
			if r.Attrs = map[string]string{attrSig: "AAAA"}; r.Event.Event != EventHead {
				r.Name, r.Attrs = "org.other", nil
			}
			changed := bytes.TrimSuffix(AppendRecord(nil, r), []byte("\n"))
			want := i + 1
			if r.Event.Event == EventHead {
				want = max(i+1-every, 1) // no head signs the one before itself, nor what follows it
			}
			wantSeq(t, check(before[i], with(changed, after(i+1)...)...), want, "line %d", i+1)
		}
	})
}

// TestRewritten: who rewrites a record and all after it is found out by the next
// head, and cannot do without heads.
func TestRewritten(t *testing.T) {
	rewrite := func(n, from int, heads bool) (lines [][]byte) {
		lines = build(n, 100)[:from]
		c := states(t, lines)[from].chain
		for i := from; i < n; i++ {
			r := Record{Event: Event{Event: "nothing.happened"}}
			if heads && i%100 == 99 {
				r.Event = c.head(func([]byte) []byte { return make([]byte, 64) })
			}
			lines = append(lines, bytes.TrimSuffix(c.add(nil, &r), []byte("\n")))
		}
		return lines
	}
	wantSeq(t, check(checker{verify: verify}, rewrite(500, 250, true)...), 200, "forged heads")
	wantSeq(t, check(checker{verify: verify}, rewrite(1500, 250, false)...), 200, "no heads")
	if f := check(checker{}, rewrite(1500, 250, true)...); f != nil {
		t.Errorf("without a key nothing can be found, but %v", f)
	}
	// A head that is held elsewhere binds even who has the server's key.
	original := build(500, 100)
	head := states(t, original)[500].head
	other := build(499, 100)
	c := states(t, other[:250])[250].chain
	forged := other[:250:250]
	for i := 250; i < 600; i++ {
		r := Record{Event: Event{Event: "nothing.happened"}}
		if i%100 == 99 {
			r.Event = c.head(sign)
		}
		forged = append(forged, bytes.TrimSuffix(c.add(nil, &r), []byte("\n")))
	}
	if f := check(checker{verify: verify}, forged...); f != nil {
		t.Errorf("who has the key can rewrite, but %v", f)
	}
	wantSeq(t, check(checker{verify: verify, held: []Head{head}}, forged...), 499, "a held head")
}

// TestHole: only a gap record that says so lets numbers be missing, and none that a
// held head signs.
func TestHole(t *testing.T) {
	lines := build(10, 100)
	gap := func(n uint64, from, to, seq uint64) []byte {
		c := states(t, lines)[10].chain
		c.seq = seq - 1
		r := Record{Event: Event{Event: EventGap, N: n, Attrs: map[string]string{
			attrFrom: fmt.Sprint(from), attrTo: fmt.Sprint(to)}}}
		return bytes.TrimSuffix(c.add(nil, &r), []byte("\n"))
	}
	good := append(lines[:10:10], gap(5, 11, 15, 16))
	if f := check(checker{verify: verify}, good...); f != nil {
		t.Error(f)
	}
	wantSeq(t, check(checker{held: []Head{{Seq: 12}}}, good...), 12, "a head within the gap")
	for _, bad := range [][]byte{gap(4, 11, 15, 16), gap(5, 11, 15, 17), gap(5, 10, 15, 16), gap(6, 11, 16, 16), gap(0, 0, 0, 16)} {
		wantSeq(t, check(checker{}, append(lines[:10:10], bad)...), 11, "%s", bad)
	}
}

// memory is a directory of files that can be read.
type memory map[string][]byte

func (m memory) read(path string) (io.ReadCloser, error) {
	if text, ok := m[filepath.Base(path)]; ok {
		return io.NopCloser(bytes.NewReader(text)), nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) list(string) (names []string, err error) {
	for name := range m {
		names = append(names, name)
	}
	return names, nil
}

func (memory) append(string, bool) (file, error) { return nil, errors.ErrUnsupported }
func (memory) remove(string) error               { return errors.ErrUnsupported }
func (memory) lock(string) (dirLock, error)      { return nil, errors.ErrUnsupported }

func fileOf(lines [][]byte) []byte { return append(bytes.Join(lines, []byte("\n")), '\n') }

// TestCutTail: a line that is cut is found. Lines that are cut off whole are found
// only against a head that is held elsewhere, and the report says how many records no
// head signs.
func TestCutTail(t *testing.T) {
	const n = 200
	lines := build(n, 20)
	text := fileOf(lines)
	held := states(t, lines)[n].head
	starts := map[int]int{0: 0} // offset → whole lines before it
	for i, at := 0, 0; i < len(lines); i++ {
		at += len(lines[i]) + 1
		starts[at] = i + 1
	}
	try := func(at int) {
		m := memory{logName(1): text[:at]}
		r, err := verifyIn(m, "", verify, nil)
		whole, boundary := starts[at]
		switch {
		case err != nil:
			t.Fatal(err)
		case !boundary:
			if r.Fault == nil || !r.Torn || r.Fault.Seq != r.Records+1 || r.Fault.File != logName(1) || r.Fault.Line != int(r.Records)+1 {
				t.Fatalf("cut at %d: %+v", at, r)
			}
		case r.Fault != nil || r.Last != uint64(whole) || r.Unsigned != uint64(whole%20):
			t.Fatalf("cut at %d: %+v, want %d records", at, r, whole)
		}
		r, err = verifyIn(m, "", verify, []Head{held})
		if want := held.Seq > uint64(whole); err != nil || boundary && (r.Fault != nil) != want {
			t.Fatalf("cut at %d with a held head: %+v, %v", at, r, err)
		}
	}
	for at := range starts {
		try(at)
	}
	for range 100 {
		try(rand.IntN(len(text)))
	}
}

// TestFilesMissing: each file that is taken away, renamed or emptied is noticed, and
// the oldest may be missing only if rotation removed it.
func TestFilesMissing(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, Sign: sign, MaxFile: 4096, Files: 5, Rate: -1})
	for i := range 200 {
		l.Note(Event{Event: "x", Name: fmt.Sprint(i)})
		if i%20 == 0 {
			if err := l.Commit(t.Context(), Event{Event: "y"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	closeLog(t, l)
	whole := sound(t, dir)
	if whole.Files != 5 || whole.First == 1 {
		t.Fatalf("%+v, want 5 files without the first record", whole)
	}
	names, _ := logNames(osFiles{}, dir)
	all := make(memory)
	for _, name := range names {
		all[name], _ = os.ReadFile(filepath.Join(dir, name))
	}
	for i, name := range names {
		for what, change := range map[string]func(m memory){
			"removed": func(m memory) { delete(m, name) },
			"renamed": func(m memory) { m[logName(firstOf(name)+1)] = m[name]; delete(m, name) },
			"emptied": func(m memory) { m[name] = nil },
			"headless": func(m memory) {
				_, m[name], _ = bytes.Cut(m[name], []byte("\n"))
			},
		} {
			m := make(memory)
			for k, v := range all {
				m[k] = v
			}
			change(m)
			r, err := verifyIn(m, "", verify, []Head{whole.Head})
			want := firstOf(name)
			if what == "renamed" && i == 0 {
				want++ // the name says what was to be first
			}
			if err != nil || r.Fault == nil || r.Fault.Seq != want {
				t.Errorf("%s %s: %+v, %v, want a fault at %d", name, what, r, err, want)
			}
		}
	}
	if _, err := Verify(t.TempDir(), nil); !errors.Is(err, errNoLog) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := Verify(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestFaultSaysWhere(t *testing.T) {
	f := &Fault{Seq: 7, File: "audit-1.jsonl", Line: 3, Reason: "it is missing"}
	for _, want := range []string{"record 7", "audit-1.jsonl", "line 3", "it is missing"} {
		if !strings.Contains(f.Error(), want) {
			t.Errorf("%q lacks %q", f.Error(), want)
		}
	}
}

// FuzzReader: any bytes in two files, of a log in use or not, are read without harm;
// a log without a fault can be continued from its end.
func FuzzReader(f *testing.F) {
	lines := build(6, 3)
	f.Add(fileOf(lines[:3]), fileOf(lines[3:]), uint64(4))
	f.Add(fileOf(lines), []byte(nil), uint64(7))
	f.Add(bytes.Replace(fileOf(lines), []byte("@1"), []byte("@2"), 1), []byte(nil), uint64(0))
	f.Add(fileOf(lines)[:700], fileOf(lines[2:]), uint64(3))
	f.Add([]byte("\n\n"), bytes.Repeat([]byte("x"), 5000), uint64(1))
	f.Fuzz(func(t *testing.T, one, two []byte, second uint64) {
		if second%2 == 0 { // by one who makes the checksums good
			for _, text := range []*[]byte{&one, &two} {
				var summed []byte
				for line := range bytes.Lines(*text) {
					if before, end, ok := bytes.Cut(line, []byte(`,"crc"`)); ok {
						line = append(appendSum(bytes.Clone(before), before), end[max(0, len(end)-1):]...)
					}
					summed = append(summed, line...)
				}
				*text = summed
			}
		}
		m := memory{logName(1): one}
		if second > 1 {
			m[logName(second)] = two
		}
		r, err := verifyIn(m, "", verify, nil)
		if err != nil {
			t.Fatal(err)
		}
		text := one
		if second > 1 && len(two) > 0 {
			text = two
		}
		e, err := readEnding(text, true)
		if r.Fault == nil && (err != nil || e.seq != r.Last || e.bad+e.cut != 0) {
			t.Fatalf("verified to %d, but it ends with %+v, %v", r.Last, e.chain, err)
		}
		if _, err := readEnding(text, false); err != nil && !errors.Is(err, ErrRecord) {
			t.Fatal(err)
		}
	})
}
