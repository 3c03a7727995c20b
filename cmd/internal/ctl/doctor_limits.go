package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cad2f06c/switchboard/client"
)

// What a server takes, for the arithmetic of limits: nearly, and rather too much.
const (
	sessionMemory = 32 << 10 // of an idle session
	halfMemory    = 8 << 10  // of a connection in handshake
	spareFiles    = 64       // that are none of a peer
)

// limits compares the server's limits with what the machine has.
func (d *doctor) limits(ctx context.Context, c *client.Client) {
	s, err := c.Stats(ctx)
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == client.NotAllowed {
		d.warn("limits", "only administrators are told (--admin)")
		return
	}
	if err != nil {
		d.fail("limits", message(err))
		return
	}
	if s.Degraded != "" {
		d.fail("state", "degraded: "+s.Degraded+"; make room on the disk: administrators' changes are refused meanwhile")
	} else {
		d.ok("state", "well")
	}
	switch {
	case s.Audit == nil:
		d.warn("audit", "there is no log")
	case s.Audit.Dir == "":
		d.warn("audit", "in memory alone; set dir in [audit]")
	default:
		d.dir("audit", s.Audit.Dir, 0o077)
	}
	l := s.Limits
	need := l["sessions"] + l["half_open_net"] + l["half_open_unix"] + spareFiles
	if l["files"] > 0 && need > l["files"] {
		d.warn("descriptors", fmt.Sprintf("at most %d are needed, and the server may have %d; set LimitNOFILE=%d, or lower sessions",
			need, l["files"], need))
	} else {
		d.ok("descriptors", fmt.Sprintf("at most %d are needed, and the server may have %d", need, l["files"]))
	}
	d.memory(l, max(1, s.Peers))
}

// memory says what the server can come to. Each key may have its quota full.
func (d *doctor) memory(l map[string]int, peers int) {
	fixed := int64(l["sessions"])*sessionMemory + int64(l["half_open_net"]+l["half_open_unix"])*halfMemory
	now := fixed + int64(peers)*int64(l["held"])
	text := fmt.Sprintf("at most %s: %d sessions, and %s held for each of the %d keys that are here", size(now), l["sessions"], size(int64(l["held"])), peers)
	has, ok := machineMemory()
	switch {
	case !ok:
		d.ok("memory", text)
	case now > has:
		d.warn("memory", fmt.Sprintf("%s; the machine has %s: lower held or sessions, or set MemoryMax=", text, size(has)))
	default:
		d.ok("memory", fmt.Sprintf("%s; the machine has %s", text, size(has)))
	}
}

// machineMemory is how much memory there is: of the control group, or the machine.
func machineMemory() (int64, bool) {
	if text, err := os.ReadFile(filepath.FromSlash("/sys/fs/cgroup/memory.max")); err == nil {
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil {
			return n, true
		}
	}
	text, err := os.ReadFile(filepath.FromSlash("/proc/meminfo"))
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		var kib int64
		if n, err := fmt.Sscanf(string(line), "MemTotal: %d kB", &kib); n == 1 && err == nil {
			return kib << 10, true
		}
	}
	return 0, false
}
