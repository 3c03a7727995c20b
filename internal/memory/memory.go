// Package memory says how much memory this process may use.
package memory

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Limit is the least of what the machine has and what this process's control
// group and those above it may use, cgroup v1 or v2, in bytes. It is false where
// none of them says so, as on other systems than Linux.
func Limit() (int64, bool) { return limit(os.DirFS("/")) }

func limit(root fs.FS) (int64, bool) {
	all := slices.Concat(machine(root), groups(root))
	if len(all) == 0 {
		return 0, false
	}
	return slices.Min(all), true
}

// machine is what the machine has, if it says so.
func machine(root fs.FS) (has []int64) {
	text, _ := fs.ReadFile(root, "proc/meminfo")
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "MemTotal: %d kB", &kib); err == nil {
			has = append(has, kib<<10)
		}
	}
	return has
}

// groups are the limits of the control groups that have one. A container sees its
// own group as the top, whatever it is called outside: so groups that are not
// there are passed over.
func groups(root fs.FS) (limits []int64) {
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		number, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		top, file := "", ""
		switch {
		case number == "0" && controllers == "":
			top, file = "sys/fs/cgroup", "memory.max"
		case slices.Contains(strings.Split(controllers, ","), "memory"):
			top, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			text, _ := fs.ReadFile(root, path.Join(top, group, file))
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // else it is "max"
				limits = append(limits, n)
			}
			if group == "/" {
				break
			}
		}
	}
	return limits
}
