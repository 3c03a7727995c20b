//go:build fault

package fault_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memoryGroup is a control group that bounds the memory of who is in it. Where the
// kernel, or who runs it, offers none, dir is "".
type memoryGroup struct {
	t   testing.TB
	dir string
	v2  bool
}

// newMemoryGroup makes a group of so many bytes, until the test ends.
func newMemoryGroup(t testing.TB, limit int64) memoryGroup {
	t.Helper()
	name := fmt.Sprintf("sbfault-%d", os.Getpid())
	g := memoryGroup{t: t}
	for _, try := range []memoryGroup{{t, "/sys/fs/cgroup/memory/" + name, false}, {t, "/sys/fs/cgroup/" + name, true}} {
		if err := try.begin(limit); err != nil {
			t.Logf("no memory group: %v", err)
			continue
		}
		g = try
		t.Cleanup(func() { // a group can be removed when the kernel has seen its last process go
			if !eventually(10*time.Second, func() bool { return os.Remove(g.dir) == nil }) {
				t.Errorf("%s cannot be removed", g.dir)
			}
		})
		break
	}
	return g
}

// begin makes the group.
func (g memoryGroup) begin(limit int64) error {
	file := "memory.limit_in_bytes"
	if g.v2 {
		file = "memory.max"
		top := filepath.Dir(g.dir) + "/cgroup.subtree_control"
		if err := os.WriteFile(top, []byte("+memory"), 0); err != nil {
			return err
		}
	} else if _, err := os.Stat(filepath.Dir(g.dir) + "/memory.limit_in_bytes"); err != nil {
		return err
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return err
	}
	err := os.WriteFile(g.dir+"/"+file, []byte(strconv.FormatInt(limit, 10)), 0)
	if err != nil {
		return errors.Join(err, os.Remove(g.dir))
	}
	return nil
}

// wrap is a program that puts itself into the group and becomes another.
func (g memoryGroup) wrap() []string {
	if g.dir == "" {
		return nil
	}
	return []string{"/bin/sh", "-c", `echo $$ >"$0"/cgroup.procs && exec "$@"`, g.dir}
}

// killed is how many processes of the group the kernel has killed for memory.
func (g memoryGroup) killed() int {
	g.t.Helper()
	if g.dir == "" {
		return 0
	}
	file := map[bool]string{false: "memory.oom_control", true: "memory.events"}[g.v2]
	text, err := os.ReadFile(g.dir + "/" + file)
	must(g.t, err)
	m := regexp.MustCompile(`(?m)^oom_kill (\d+)$`).FindStringSubmatch(string(text))
	if m == nil {
		g.t.Fatalf("%s does not count: %s", file, text)
	}
	n, err := strconv.Atoi(m[1])
	must(g.t, err)
	return n
}

// peak is the most memory that the group has had, files in the kernel's cache and
// what waits in sockets with it; 0 where nobody counts.
func (g memoryGroup) peak() int64 {
	file := map[bool]string{false: "memory.max_usage_in_bytes", true: "memory.peak"}[g.v2]
	text, err := os.ReadFile(g.dir + "/" + file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
