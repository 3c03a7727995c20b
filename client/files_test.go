package client

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// open1 opens a file, which is closed with the test.
func open1(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func isOpen(f *os.File) bool {
	_, err := f.Stat()
	return !errors.Is(err, os.ErrClosed)
}

// TestFiles: what is not named within 10 s is closed, so is the oldest of five,
// and at the end all; what was taken is the taker's.
func TestFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := files{on: true}
		var all []*os.File
		add := func() {
			f := open1(t)
			all = append(all, f)
			table.add(f)
		}
		wantOpen := func(when string, want ...bool) {
			t.Helper()
			for i, f := range all {
				if isOpen(f) != want[i] {
					t.Errorf("%s: file %d is open: %v", when, i, !want[i])
				}
			}
		}
		for range 5 {
			add()
		}
		wantOpen("five", false, true, true, true, true)
		if f, err := table.take(2); err != nil || f != all[2] {
			t.Errorf("number 2 is %v, %v", f, err)
		}
		for _, n := range []int{-1, 0, 2} {
			if _, err := table.take(n); !errors.Is(err, errNoFile) || !table.works() {
				t.Errorf("number %d: %v, and files work: %v", n, err, table.works())
			}
		}
		time.Sleep(fileLife - time.Second)
		add()
		time.Sleep(time.Second)
		synctest.Wait()
		wantOpen("10 s later", false, false, true, false, false, true)
		table.close()
		wantOpen("at the end", false, false, true, false, false, false)
		add()
		wantOpen("after it", false, false, true, false, false, false, false)
		if _, err := table.take(7); !errors.Is(err, errNoFile) || table.works() {
			t.Errorf("one that never came: %v, and files work: %v", err, table.works())
		}
	})
}
