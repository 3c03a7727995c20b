package examples_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// maxLines is how long an example may be. What it imports of its own folder is
// not an example: it is the library that stands beside it.
const maxLines = 60

func TestSizes(t *testing.T) {
	libraries := []string{
		"js/switchboard.js", "js/yamux.js", "js/links.js", "js/path.js",
		"python/switchboard.py", "python/test_vector.py",
	}
	n := 0
	for _, pattern := range []string{"go/*/*.go", "js/*.js", "python/*.py", "shell/*.sh"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if slices.Contains(libraries, filepath.ToSlash(file)) {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n++
			if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
				t.Errorf("%s has %d lines, limit %d", file, lines, maxLines)
			}
		}
	}
	if n < 9 {
		t.Errorf("found %d examples, want 9", n)
	}
}
