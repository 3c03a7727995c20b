package audit

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// crashChild writes to a log until it is killed, and prints what is committed.
func crashChild(dir string) {
	l, err := Open(Config{Dir: dir, Sign: sign, MaxFile: 32 << 10, Files: 1 << 20, Rate: -1, Ring: 100})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100_000 {
				id := fmt.Sprintf("%s-%d-%d", l.boot, g, i)
				l.Note(Event{Event: "note", Reason: strings.Repeat("x", rand.IntN(200))})
				if err := l.Commit(context.Background(), Event{Event: "commit", Target: id}); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				out.Lock()
				os.Stdout.WriteString(id + "\n")
				out.Unlock()
			}
		})
	}
	wg.Wait()
	os.Exit(0)
}

// TestF58 kills a writer at random moments, 60 times over one log. Afterwards the
// chain is whole, and every record is there that Commit had returned for.
func TestF58(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	var committed []string
	for kill := range 60 {
		committed = append(committed, crash(t, dir, rand.IntN(40))...)
		r, err := Verify(dir, verify)
		if os.IsNotExist(err) || err != nil && len(committed) == 0 {
			continue // killed before there was a log
		}
		if err != nil || r.Fault != nil && !r.Torn {
			t.Fatalf("after kill %d: %+v, %v", kill, r, err)
		}
	}
	closeLog(t, open(t, Config{Dir: dir, Sign: sign})) // mends a torn line
	r := sound(t, dir)
	there := make(map[string]bool)
	for _, r := range records(t, dir) {
		there[r.Target] = true
	}
	for _, id := range committed {
		if !there[id] {
			t.Errorf("%s was committed and is not there", id)
		}
	}
	if len(committed) < 100 {
		t.Errorf("only %d were committed", len(committed))
	}
	t.Logf("%d records in %d files, %d committed, %d lines were cut", r.Records, r.Files, len(committed), r.Gaps)
}

// crash runs a child, kills it after so many lines and a moment, and returns its
// lines.
func crash(t *testing.T, dir string, after int) (lines []string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), "AUDIT_CRASH_DIR="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for killed := false; ; {
		if len(lines) >= after && !killed {
			killed = true
			wait, stop := context.WithTimeout(t.Context(), rand.N(5*time.Millisecond))
			<-wait.Done()
			stop()
			child.Process.Kill()
		}
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		if strings.HasPrefix(line, "error") {
			t.Fatal(line)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	child.Wait() // says that it was killed
	return lines
}

// TestTornLine cuts the last line at every byte, as a crash of the machine can: the
// next writer goes on, says so, and loses no other record.
func TestTornLine(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	for range 3 {
		if err := l.Commit(t.Context(), Event{Event: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	path := filepath.Join(dir, logName(1))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(text) {
		for _, rest := range []string{"", "\x00\x00\x00"} { // a disk may give zeros for what it had not written
			torn := string(text[:cut]) + rest
			if err := os.WriteFile(path, []byte(torn), 0o600); err != nil {
				t.Fatal(err)
			}
			whole := strings.Count(torn, "\n")
			l := open(t, Config{Dir: dir})
			closeLog(t, l)
			r, err := Verify(dir, nil)
			gaps := 1
			if strings.HasSuffix(torn, "\n") || torn == "" {
				gaps = 0
			}
			if err != nil || r.Fault != nil || r.Gaps != gaps || r.Records != uint64(whole+gaps) {
				t.Fatalf("cut at %d: %+v, %v, want %d records", cut, r, err, whole+gaps)
			}
		}
	}
}

// TestBadEnd: a last line that is no record stays as evidence. The log goes on, and
// Verify names it.
func TestBadEnd(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	for range 3 {
		l.Note(Event{Event: "x"})
	}
	closeLog(t, l)
	path := filepath.Join(dir, logName(1))
	text, _ := os.ReadFile(path)
	text[len(text)-40] ^= 1
	os.WriteFile(path, text, 0o600)
	for range 2 {
		l = open(t, Config{Dir: dir})
		l.Note(Event{Event: "after"})
		closeLog(t, l)
	}
	got := l.Recent(Filter{})
	if len(got) != 5 || got[2].Event.Event != EventGap || got[2].Seq != 4 || got[4].Seq != 6 || got[4].Event.Event != "after" {
		t.Errorf("%+v", got)
	}
	if r, err := Verify(dir, nil); err != nil || r.Fault == nil || r.Fault.Seq != 3 || r.Fault.Line != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestEmptyFile: a crash between a further file and its first record leaves an empty
// one, or a piece of a line in it.
func TestEmptyFile(t *testing.T) {
	for _, rest := range []string{"", `{"seq":`} {
		dir := t.TempDir()
		l := open(t, Config{Dir: dir})
		l.Note(Event{Event: "x"})
		closeLog(t, l)
		if err := os.WriteFile(filepath.Join(dir, logName(2)), []byte(rest), 0o600); err != nil {
			t.Fatal(err)
		}
		l = open(t, Config{Dir: dir})
		l.Note(Event{Event: "y"})
		closeLog(t, l)
		if r, err := Verify(dir, nil); err != nil || r.Fault != nil || r.Files != 1 || r.Records != uint64(2+min(1, len(rest))) {
			t.Errorf("with %q: %+v, %v", rest, r, err)
		}
	}
}
