//go:build examples

package examples_test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/client"
)

// TestDirect takes channels to direct links, between JavaScript and JavaScript
// and between JavaScript and Go, whichever calls: what comes back before, in and
// behind the move is what was sent, and the server sees nothing of it any more.
//
// The kind of a link is named as the transport of the two sessions.
func TestDirect(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	callees := map[string]func(*testing.T, *bench, string, string){"js": serveInNode, "go": serveInGo}
	for transport, addr := range b.addresses {
		for lang, serve := range callees {
			for mode, open := range map[string]struct{ options, order string }{
				"auto":    {"", "wait"},
				"at once": {`{"direct":["unix","net"]}`, "wait"},
				"asked":   {`{"direct":[]}`, "move"},
				"require": {`{"direct":["unix","net"],"require":true}`, ""},
			} {
				t.Run(fmt.Sprintf("%s/js to %s/%s", transport, lang, mode), func(t *testing.T) {
					name := nameOf(t)
					serve(t, b, addr, name)
					callFromNode(t, b, addr, name, open.options, open.order, transport)
				})
			}
		}
		for mode, direct := range map[string]client.Direct{"auto": client.DirectAuto, "require": client.DirectRequire} {
			t.Run(fmt.Sprintf("%s/go to js/%s", transport, mode), func(t *testing.T) {
				name := nameOf(t)
				serveInNode(t, b, addr, name)
				callFromGo(t, b, addr, name, direct, transport)
			})
		}
	}
}

// TestDirectHalfClosed moves a channel whose caller has ended its direction at
// the server: its mark says so, and the callee's bytes go on over the link.
func TestDirectHalfClosed(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	for transport, addr := range b.addresses {
		t.Run(transport+"/js to js", func(t *testing.T) {
			name := nameOf(t)
			b.node(t, b.key(), addr, "talk", name).await(t, "serving")
			caller := b.node(t, b.otherKey(), addr, "listen", name, `{"direct":[]}`)
			caller.await(t, "moved to "+transport+" after 0 out")
			caller.await(t, fmt.Sprintf("%d bytes came", 1<<20))
			caller.exit(t)
		})
		t.Run(transport+"/js to go", func(t *testing.T) {
			name := nameOf(t)
			conns := b.listen(t, b.key(), addr, name)
			caller := b.node(t, b.otherKey(), addr, "listen", name, `{"direct":[]}`)
			conn := <-conns
			if n, err := io.Copy(io.Discard, conn); err != nil || n != 0 {
				t.Fatalf("%d bytes came, %v", n, err)
			}
			sent := 0
			for piece := make([]byte, 10_000); conn.Link() == "" || sent < 1<<20; sent += len(piece) {
				if _, err := conn.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			caller.await(t, fmt.Sprintf("%d bytes came", sent))
			caller.exit(t)
		})
		t.Run(transport+"/go to js", func(t *testing.T) {
			name := nameOf(t)
			b.node(t, b.key(), addr, "talk", name).await(t, "serving")
			conn := b.open(t, addr, name, client.DirectAuto)
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, conn); err != nil || n != 1<<20 {
				t.Errorf("%d bytes came, %v", n, err)
			}
			if got := string(conn.Link()); got != transport {
				t.Errorf("the channel is on %q", got)
			}
		})
	}
}

// TestDirectAbort: an end of a moved channel that aborts, or an order of the
// server, is an error to the other.
func TestDirectAbort(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	const require = `{"direct":["unix","net"],"require":true}`
	for transport, addr := range b.addresses {
		t.Run(transport+"/js caller", func(t *testing.T) {
			name := nameOf(t)
			conns := b.listen(t, b.key(), addr, name)
			caller := b.node(t, b.otherKey(), addr, "call", name, require)
			conn := <-conns
			caller.await(t, "before")
			caller.tell(t, "abort")
			mustBreak(t, conn)
			b.gone(t, name)
		})
		t.Run(transport+"/js callee", func(t *testing.T) {
			name := nameOf(t)
			callee := serve(t, b, addr, name)
			conn := b.open(t, addr, name, client.DirectRequire)
			callee.await(t, "channel")
			callee.tell(t, "abort")
			mustBreak(t, conn)
			b.gone(t, name)
		})
		t.Run(transport+"/go caller", func(t *testing.T) {
			name := nameOf(t)
			callee := serve(t, b, addr, name)
			conn := b.open(t, addr, name, client.DirectRequire)
			callee.await(t, "channel")
			if err := conn.Abort(); err != nil {
				t.Fatal(err)
			}
			callee.await(t, "cut: link_lost")
			b.gone(t, name)
		})
		t.Run(transport+"/server", func(t *testing.T) {
			name := nameOf(t)
			callee := serve(t, b, addr, name)
			caller := b.node(t, b.otherKey(), addr, "call", name, require)
			caller.await(t, "before")
			at := b.channel(t, name, func(c *client.Channel) bool { return c != nil && c.State == "direct" })
			b.output(t, "sbctl", "--key", filepath.Join(b.home, "server.key"), "call", "switchboard",
				"channels.close", fmt.Sprintf(`{"channel":%q,"reason":"enough"}`, at.Channel))
			caller.await(t, "cut: enough")
			callee.await(t, "cut: ")
			b.gone(t, name)
		})
	}
}

// TestDirectRefused: a callee that takes no part in direct links.
func TestDirectRefused(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	addr := b.addresses["unix"]
	b.start(t, addr, "", "sbctl", "expose", "--relay-only", "org.example.shy", "exec:cat").await(t, "leads to")
	caller := b.node(t, b.otherKey(), addr, "call", "org.example.shy", `{"direct":["unix"],"require":true}`)
	caller.fail(t)
	caller.await(t, "unavailable")
	caller = b.node(t, b.otherKey(), addr, "call", "org.example.shy", `{"direct":["unix"]}`)
	caller.tell(t, "more")
	caller.await(t, "echoed")
	caller.tell(t, "end")
	caller.await(t, "equal")
	caller.exit(t)
}

// TestPurposeKey checks the purpose key of links against the vector in
// PROTOCOL.md, in JavaScript.
func TestPurposeKey(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	b.start(t, "", "", "node", "testdata/purpose.js", "../PROTOCOL.md").exit(t)
}

// nameOf is a name for a test.
func nameOf(t *testing.T) string {
	return "org.example." + regexp.MustCompile(`[^A-Za-z.]+`).ReplaceAllString(strings.ReplaceAll(t.Name(), "/", "."), "_")
}

// node starts testdata/direct.js with a key.
func (b *bench) node(t *testing.T, key, addr string, args ...string) *process {
	t.Helper()
	cmd := b.command(addr, "testdata", append([]string{"node", "direct.js"}, args...)...)
	cmd.Env = append(cmd.Env, "SWITCHBOARD_KEY="+key)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := b.run(t, cmd, "direct.js "+strings.Join(args, " "))
	p.in = in
	return p
}

// tell writes a line to a program of node.
func (p *process) tell(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// serve starts an echo in JavaScript.
func serve(t *testing.T, b *bench, addr, name string) *process {
	t.Helper()
	p := b.node(t, b.key(), addr, "serve", name)
	p.await(t, "serving")
	return p
}

func serveInNode(t *testing.T, b *bench, addr, name string) { serve(t, b, addr, name) }

// serveInGo is an echo that half-closes when its caller does.
func serveInGo(t *testing.T, b *bench, addr, name string) {
	t.Helper()
	conns := b.listen(t, b.key(), addr, name)
	go func() {
		for conn := range conns {
			if _, err := io.Copy(conn, conn); err == nil {
				conn.CloseWrite()
			}
			conn.Close()
		}
	}()
}

// callFromNode calls an echo in JavaScript and leads it through a move.
func callFromNode(t *testing.T, b *bench, addr, name, options, order, kind string) {
	args := []string{"call", name}
	if options != "" {
		args = append(args, options)
	}
	caller := b.node(t, b.otherKey(), addr, args...)
	caller.await(t, "before")
	if order != "" {
		caller.tell(t, order)
		caller.await(t, "moved to "+kind)
	}
	b.bypassed(t, name, kind, order == "", func() {
		caller.tell(t, "more")
		caller.await(t, "echoed")
	})
	caller.tell(t, "end")
	caller.await(t, "bytes, equal")
	caller.exit(t)
	b.gone(t, name)
}

// callFromGo is callFromNode in Go.
func callFromGo(t *testing.T, b *bench, addr, name string, direct client.Direct, kind string) {
	conn := b.open(t, addr, name, direct)
	defer conn.Close()
	sent, got := sha256.New(), sha256.New()
	exchange := func(n int) {
		t.Helper()
		data := make([]byte, n)
		if _, err := rand.Read(data); err != nil {
			t.Fatal(err)
		}
		sent.Write(data)
		wrote := make(chan error, 1)
		go func() {
			_, err := conn.Write(data)
			wrote <- err
		}()
		_, err := io.CopyN(got, conn, int64(n))
		if err := errors.Join(err, <-wrote); err != nil {
			t.Fatal(err)
		}
	}
	for total := 0; conn.Link() == "" || total < 1<<20; total += 30_000 {
		exchange(30_000)
	}
	b.bypassed(t, name, kind, direct == client.DirectRequire, func() { exchange(4 << 20) })
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(got, conn); err != nil || n != 0 {
		t.Errorf("%d bytes more came, %v", n, err)
	}
	if string(sent.Sum(nil)) != string(got.Sum(nil)) {
		t.Error("what came is not what was sent")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	b.gone(t, name)
}
