package shs

import (
	"net"
	"strings"
	"testing"
)

// prepared are configs with what both ends prepare.
func prepared(mode Mode) (client, server *Config) {
	client, server = configs(mode)
	client.Prepared, server.Prepared = Prepare(client.Key), Prepare(server.Key)
	return client, server
}

func TestPreparedOtherKey(t *testing.T) {
	a, _ := net.Pipe()
	_, cfg := configs(Box)
	cfg.Prepared = Prepare(alice)
	if err := Server(a, cfg).Handshake(t.Context()); err == nil || !strings.HasSuffix(err.Error(), errOtherKey.Error()) {
		t.Errorf("got %v, want %v", err, errOtherKey)
	}
}

// BenchmarkHandshakePrepared is BenchmarkHandshake between two that know each
// other.
func BenchmarkHandshakePrepared(b *testing.B) {
	clientCfg, serverCfg := prepared(Box)
	b.ReportAllocs()
	for b.Loop() {
		x, y := net.Pipe()
		client, server := Client(x, clientCfg), Server(y, serverCfg)
		if err1, err2 := shakeBoth(b.Context(), client, server); err1 != nil || err2 != nil {
			b.Fatal(err1, err2)
		}
		client.Abort()
		server.Abort()
	}
}
