package ctl

import (
	"context"
	"errors"
	"fmt"

	"github.com/cad2f06c/switchboard/client"
)

// What a server takes, for the arithmetic of limits: nearly, and rather too much.
const (
	sessionMemory = 32 << 10 // of an idle session
	halfMemory    = 8 << 10  // of a connection in handshake
	spareFiles    = 64       // that are none of a peer
)

// limits compares the server's limits with what it may use of its machine, as it
// says.
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

// memory says what the server can come to. Each key may have its quota full, up to
// what all may hold together.
func (d *doctor) memory(l map[string]int, peers int) {
	fixed := int64(l["sessions"])*sessionMemory + int64(l["half_open_net"]+l["half_open_unix"])*halfMemory
	keys, all := int64(peers)*int64(l["held"]), int64(l["held_total"])
	text := fmt.Sprintf("at most %s: %d sessions, and %s held for each of the %d keys that are here, up to %s",
		size(fixed+min(keys, all)), l["sessions"], size(int64(l["held"])), peers, size(all))
	has := int64(l["memory"])
	switch {
	case has == 0:
		d.ok("memory", text)
	case fixed+min(keys, all) > has:
		d.warn("memory", fmt.Sprintf("%s; the server may use %s: lower held_total or sessions, or set MemoryMax=", text, size(has)))
	default:
		d.ok("memory", fmt.Sprintf("%s; the server may use %s", text, size(has)))
	}
	switch soft := int64(l["memory_soft"]); {
	case soft == 0:
		d.warn("soft memory limit", "none: garbage is collected as if there were memory without end; see GOMEMLIMIT")
	case has > 0 && soft > has:
		d.warn("soft memory limit", fmt.Sprintf("%s is more than the server may use; lower held_total or GOMEMLIMIT", size(soft)))
	default:
		d.ok("soft memory limit", size(soft))
	}
}
