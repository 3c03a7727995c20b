//go:build fault

package fault_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// F41: a callee names as its own what is somebody else's, or nothing: the server
// leaves it out or the caller does not dial it, nobody is called, the server's own
// port and socket not either, and the channel stays relayed. Where a link is required the call fails with a code.
func TestF41Advertised(t *testing.T) {
	keys := make([]shs.PrivateKey, 20) // of callers, for one may try 16 links in 15 s, and the last of the callee
	public := make([]shs.PublicKey, len(keys))
	for i := range keys {
		keys[i] = shs.GenerateKey()
		public[i] = keys[i].Public()
	}
	d, p := startDaemon(t, public...)
	admin := p.client(t, "unix", func(c *client.Config) { c.Key = d.key })
	said, n := "", 0
	for network, answers := range map[string]map[string]*target{"tcp": liesOfPorts(t, p), "unix": liesOfPaths(t, p)} {
		callee := p.byHand(t, network, keys[len(keys)-1])
		name := "org.example.liar." + network
		offers := callee.serve(name, func(_ *control.LinkAsk, offer *control.OfferArgs) string {
			switch {
			case offer == nil:
				return `{"direct":` + said + `}`
			case offer.Require:
				return `{"require":true,"direct":` + said + `}`
			}
			return `{}`
		})
		for answer, target := range answers {
			said = answer
			caller := p.client(t, network, func(c *client.Config) { c.Key = keys[n%len(answers)] })
			before := connections(t, admin)
			conn, at := dials(t, caller, name)
			if at.Err == nil || at.Kind != "" || conn.Link() != "" {
				t.Errorf("%s: moved to %q", answer, at.Kind)
			}
			echoes(t, answer, conn, (<-offers).lane)
			conn.Close()
			began := time.Now()
			_, err := caller.Open(within(t, 20*time.Second), name, client.OpenOptions{Direct: client.DirectRequire})
			if !errors.Is(err, client.Unavailable) && !errors.Is(err, client.LinkLost) {
				t.Fatalf("%s, required: got %v, want unavailable or link_lost", answer, err)
			}
			if took := time.Since(began); took > 5*time.Second+slow*time.Second {
				t.Errorf("%s, required: it took %v", answer, took)
			}
			(<-offers).lane.Abort()
			if target != nil && target.calls.Load() > 0 {
				t.Errorf("%s: somebody else was called %d times", answer, target.calls.Load())
			}
			if more := connections(t, admin) - before; more != 0 {
				t.Errorf("%s: the server was called %d times", answer, more)
			}
			must(t, caller.Close())
			n++
		}
	}
	p.alive(t)
	report(t, "F41", "%d addresses that are not the callee's, later and at once: all refused or left out, nobody was called, nor the server's own port and socket; relayed on, or a code", n)
}

// connections is how many there have been at the server, over TCP and its Unix socket,
// taken or refused.
func connections(t *testing.T, admin *client.Client) (n int64) {
	t.Helper()
	s, err := admin.Stats(within(t, 10*time.Second))
	must(t, err)
	for outcome, count := range s.Admission {
		if outcome == "taken" || strings.HasPrefix(outcome, "refused_") {
			n += count
		}
	}
	if n == 0 {
		t.Fatalf("the server counts no connections: %v", s.Admission)
	}
	return n
}

// liesOfPorts are answers of a callee that came over TCP, and whom they mean.
func liesOfPorts(t *testing.T, p place) map[string]*target {
	t.Helper()
	system := (*target)(nil)
	port := 22
	if os.Geteuid() == 0 {
		for ; system == nil; port++ {
			if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				ln.Close()
				system = newTarget(t, "tcp", ln.Addr().String())
				break
			}
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	dead := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	_, servers, _ := strings.Cut(p.tcp, ":")
	other := newTarget(t, "tcp", "127.0.0.2:0") // another host, as far as anybody can tell
	_, otherPort, _ := net.SplitHostPort(other.Addr().String())
	private := privately(t)
	unix := newTarget(t, "unix", private+"/s")
	return map[string]*target{
		fmt.Sprintf(`{"net":%d}`, port):                system,
		fmt.Sprintf(`{"net":%d}`, 65536+port):          system,
		`{"net":22}`:                                   nil,
		`{"net":0}`:                                    nil,
		`{"net":-1}`:                                   nil,
		`{"net":1023}`:                                 nil,
		`{"net":` + servers + `}`:                      nil,
		fmt.Sprintf(`{"net":%d}`, dead):                nil,
		`{"net":"` + other.Addr().String() + `"}`:      other,
		`{"net":` + otherPort + `,"host":"127.0.0.2"}`: other,
		`{"net":0,"links":[{"net":"` + other.Addr().String() + `"}]}`: other,
		`{"net":"169.254.169.254:80"}`:                                nil,
		`{"net":"[fe80::1%lo]:2000"}`:                                 nil,
		`{"unix":"` + private + `/s"}`:                                unix,
		`{"fd":true}`:                                                 nil,
		`{}`:                                                          nil,
		`[]`:                                                          nil,
	}
}

// liesOfPaths are answers of a callee that came over a Unix socket.
func liesOfPaths(t *testing.T, p place) map[string]*target {
	t.Helper()
	private, wide := privately(t), room(t)
	mine := newTarget(t, "unix", private+"/s")
	open := newTarget(t, "unix", wide+"/s")
	must(t, os.Symlink(private+"/s", private+"/link"))
	must(t, os.Symlink(private, wide+"/dir"))
	must(t, os.WriteFile(private+"/file", nil, 0o600))
	port, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port.Close()
	lies := map[string]*target{
		`{"unix":"` + private + `/link"}`:                          mine,
		`{"unix":"` + wide + `/dir/s"}`:                            mine,
		`{"unix":"` + private + `/../` + private[5:] + `/s"}`:      mine,
		`{"unix":"` + private + `//s"}`:                            mine,
		`{"unix":"` + private + `/s\u0000"}`:                       mine,
		`{"unix":"` + wide + `/s"}`:                                open,
		`{"unix":"` + p.unix + `"}`:                                nil,
		`{"unix":"` + private + `/file"}`:                          nil,
		`{"unix":"` + private + `/none"}`:                          nil,
		`{"unix":"` + private + `"}`:                               nil,
		`{"unix":"s"}`:                                             nil,
		`{"unix":"\u0000` + private + `"}`:                         nil,
		`{"unix":"@switchboard"}`:                                  nil,
		`{"unix":"/` + strings.Repeat("x", 107) + `"}`:             nil,
		fmt.Sprintf(`{"net":%d}`, port.Addr().(*net.TCPAddr).Port): nil,
		`{"unix":17}`:                                              nil,
	}
	if os.Geteuid() == 0 {
		theirs := privately(t)
		foreign := newTarget(t, "unix", theirs+"/s")
		must(t, errors.Join(os.Chown(theirs+"/s", nobody, nobody), os.Chown(theirs, nobody, nobody)))
		lies[`{"unix":"`+theirs+`/s"}`] = foreign
	}
	return lies
}
