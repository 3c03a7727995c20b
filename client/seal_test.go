package client_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// TestSealedPins: the first use of a name is remembered, and another key
// behind it is refused from then on, by the file and by the option.
func TestSealedPins(t *testing.T) {
	address := serve(t)
	file := filepath.Join(t.TempDir(), "pins")
	a := dial(t, client.Config{Address: address, Pins: file})
	first := dial(t, client.Config{Address: address})
	ln := listen(t, first, "org.example.vault")
	call, accepted := open(t, a, ln, client.OpenOptions{Sealed: true})
	bounce(t, call, accepted, "secret")
	if !call.Info().Sealed || !accepted.Info().Sealed {
		t.Error("the ends do not know that they are sealed")
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "org.example.vault "+call.RemoteKey().String()) {
		t.Fatalf("the file says %q, %v", text, err)
	}
	call, accepted = open(t, a, ln, client.OpenOptions{Sealed: true})
	bounce(t, call, accepted, "secret")
	ln.Close()

	listen(t, dial(t, client.Config{Address: address}), "org.example.vault")
	_, err = a.Open(short(t), "org.example.vault", client.OpenOptions{Sealed: true})
	wantErr(t, err, client.PeerMismatch)
	if !strings.Contains(err.Error(), "line 1 of "+file) {
		t.Errorf("the error does not say where: %v", err)
	}
	_, err = a.Open(short(t), "org.example.vault", client.OpenOptions{Sealed: true, Key: shs.GenerateKey().Public()})
	wantErr(t, err, client.PeerMismatch)
	if after, _ := os.ReadFile(file); string(after) != string(text) {
		t.Errorf("the file has changed to %q", after)
	}
}

// TestSealedSingleLane: a callee on a connection of its own seals, too.
func TestSealedSingleLane(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			ln := listen(t, dial(t, m.cfg), "org.example.vault")
			call, accepted := open(t, dial(t, m.cfg), ln, client.OpenOptions{Sealed: true})
			bounce(t, call, accepted, "secret")
		})
	}
}
