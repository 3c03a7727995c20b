package memory

import (
	"runtime"
	"testing"
	"testing/fstest"
)

func TestLimit(t *testing.T) {
	const (
		ram     = "MemFree: 12 kB\nMemTotal:       4096 kB\n"
		v1      = "5:cpu,cpuacct:/x\n4:memory:/box/a\n1:name=systemd:/\n"
		v2      = "0::/system.slice/a.service\n"
		noLimit = "9223372036854771712\n"
	)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing known", nil, 0},
		{"the machine's", map[string]string{"proc/meminfo": ram}, 4096 << 10},
		{"a machine that does not say", map[string]string{"proc/meminfo": "MemFree: 1 kB\n"}, 0},
		{"v2", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": v2,
			"sys/fs/cgroup/system.slice/a.service/memory.max": "1000\n", "sys/fs/cgroup/system.slice/memory.max": "max\n"}, 1000},
		{"v2, of a group above", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": v2,
			"sys/fs/cgroup/system.slice/a.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "2000\n"}, 2000},
		{"v2, in a container", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": v2, "sys/fs/cgroup/memory.max": "3000\n"}, 3000},
		{"v2, from outside of its namespace", map[string]string{"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/memory.max": "3000\n"}, 3000},
		{"v2, more than the machine has", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": v2, "sys/fs/cgroup/memory.max": "1073741824\n"}, 4096 << 10},
		{"v1", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": v1,
			"sys/fs/cgroup/memory/box/a/memory.limit_in_bytes": "1000\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": noLimit}, 1000},
		{"v1, of a group above", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": v1,
			"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "2000\n", "sys/fs/cgroup/memory/box/a/memory.limit_in_bytes": noLimit}, 2000},
		{"v1, none", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": v1, "sys/fs/cgroup/memory/memory.limit_in_bytes": noLimit}, 4096 << 10},
		{"both, of which one limits", map[string]string{"proc/self/cgroup": v1 + "0::/\n",
			"sys/fs/cgroup/memory/box/a/memory.limit_in_bytes": "1000\n", "sys/fs/cgroup/memory.max": "max\n"}, 1000},
		{"of others", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": v2,
			"sys/fs/cgroup/system.slice/b.service/memory.max": "1000\n", "sys/fs/cgroup/memory/system.slice/memory.limit_in_bytes": "1000\n"}, 4096 << 10},
		{"what is no number", map[string]string{"proc/self/cgroup": "\n::\n0::\n7\n" + v2, "sys/fs/cgroup/memory.max": "-"}, 0},
	} {
		root := make(fstest.MapFS)
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got, ok := limit(root); got != c.want || ok != (c.want > 0) {
			t.Errorf("%s: got %d, %t, want %d", c.name, got, ok, c.want)
		}
	}
}

// TestLimitHere: this machine says something that can be.
func TestLimitHere(t *testing.T) {
	n, ok := Limit()
	if ok != (runtime.GOOS == "linux") || ok && n < 16<<20 {
		t.Errorf("got %d, %t", n, ok)
	}
}
