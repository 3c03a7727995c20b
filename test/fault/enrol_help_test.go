//go:build fault

package fault_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/shs"
)

// enrolling is a server process on a Unix socket and TCP with a list of lines, and
// with files that it changes itself.
func enrolling(t *testing.T, lines ...string) *daemon {
	t.Helper()
	d := newDaemon(t)
	d.port = "0"
	must(t, os.WriteFile(d.dir+"/authorized_peers", []byte("# a list\n"+strings.Join(lines, "\n")+"\n"), 0o600))
	d.start()
	return d
}

func (d *daemon) lists() peersfile.Files { return peersfile.Beside(d.dir + "/authorized_peers") }

// admin is a client with the server's own key.
func (d *daemon) admin(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.Dial(within(t, 10*time.Second), client.Config{Address: d.unix(), Key: d.key, NoReconnect: true})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// far logs in over TCP.
func (d *daemon) far(t *testing.T, key shs.PrivateKey) (*client.Client, error) {
	t.Helper()
	c, err := client.Dial(within(t, 10*time.Second), client.Config{Address: d.tcp(), Key: key, NoReconnect: true})
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// peerCall is the argument of calls about a key.
type peerCall struct {
	Key     shs.PublicKey `json:"key"`
	Options []string      `json:"options,omitempty"`
	Comment string        `json:"comment,omitempty"`
}
