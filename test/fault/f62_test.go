//go:build fault

package fault_test

import (
	"encoding/base64"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// F62: a key with a session, 10 relayed channels and 2 direct ones is revoked: no
// new login at once, session and channels end within 1 s, after a restart it is
// still refused. Libraries that are cut off have tests of their own.
func TestF62Revoked(t *testing.T) {
	thief, host := shs.GenerateKey(), shs.GenerateKey()
	d := enrolling(t, thief.Public().String()+" level=trusted", host.Public().String()+" level=trusted")
	callee, err := d.far(t, host)
	must(t, err)
	ln, err := callee.Listen(t.Context(), "org.example.host")
	must(t, err)
	theirs := make(chan net.Conn, 20)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			theirs <- conn
		}
	}()
	c, err := d.far(t, thief)
	must(t, err)
	var ends []net.Conn
	direct := 0
	for i := range 12 {
		how := client.DirectNever
		if i >= 10 {
			how = client.DirectRequire
		}
		conn, err := c.Open(within(t, 20*time.Second), "org.example.host", client.OpenOptions{Direct: how})
		must(t, err)
		if conn.Link() != "" {
			direct++
		}
		_, err = io.WriteString(conn, "x")
		must(t, err)
		other := <-theirs
		_, err = io.ReadFull(other, make([]byte, 1))
		must(t, err)
		ends = append(ends, conn, other)
	}
	if direct != 2 {
		t.Fatalf("%d channels are direct, want 2", direct)
	}
	began := time.Now()
	must(t, d.admin(t).Call(within(t, 10*time.Second), "peers.revoke", peerCall{Key: thief.Public(), Comment: "stolen"}, nil))
	answered := time.Since(began)
	if _, err := d.far(t, thief); err == nil {
		t.Error("a revoked key logged in")
	}
	for i, conn := range ends {
		_ = conn.SetReadDeadline(began.Add(5 * time.Second)) // it may have ended
		if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("end %d of a channel: %v, want its end", i, err)
		}
	}
	took := time.Since(began)
	if took > atMost(1500*time.Millisecond) {
		t.Errorf("the channels took %v to end, want 1 s", took)
	}
	if _, err := callee.WhoAmI(within(t, 5*time.Second)); err != nil {
		t.Errorf("the other end was disturbed: %v", err)
	}
	d.kill()
	d.start()
	if _, err := d.far(t, thief); err == nil {
		t.Error("a revoked key logged in after a restart")
	}
	if _, err := client.Dial(within(t, 5*time.Second), client.Config{Address: d.unix(), Key: thief, NoReconnect: true}); err == nil {
		t.Error("a revoked key logged in over the Unix socket")
	}
	again, err := d.far(t, host)
	must(t, err)
	again.Close()
	report(t, "F62", "a revocation was answered in %v; 10 relayed and 2 direct channels had ended at both ends after %v; refused over TCP and Unix, also after kill -9",
		answered.Round(time.Millisecond), took.Round(time.Millisecond))
}

// F64: a revoked key has one form of 32 bytes. No other spelling of it, nor of
// another in its place, gets it in again or is taken for a different key.
func TestF64OneSpelling(t *testing.T) {
	key := shs.GenerateKey()
	for strings.ToUpper(key.Public().String()) == key.Public().String() {
		key = shs.GenerateKey()
	}
	d := enrolling(t, key.Public().String()+" level=trusted")
	admin := d.admin(t)
	must(t, admin.Call(within(t, 10*time.Second), "peers.revoke", peerCall{Key: key.Public()}, nil))
	before, err := os.ReadFile(d.dir + "/authorized_peers")
	must(t, err)
	raw := key.Public()
	b64 := base64.StdEncoding.EncodeToString(raw[:])
	high := raw
	high[31] ^= 0x80 // another sign: another point, or none
	loose := []byte(b64)
	loose[42] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[strings.IndexByte(
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", loose[42])|1] // a spare bit
	spellings := []string{
		"@" + base64.URLEncoding.EncodeToString(raw[:]) + ".ed25519x", "@" + b64 + ".ED25519", "@" + strings.TrimRight(b64, "=") + ".ed25519",
		"@" + string(loose) + ".ed25519", "@" + strings.ToUpper(b64) + ".ed25519 ", b64, b64 + ".ed25519", " @" + b64 + ".ed25519",
		"@" + b64 + ".ed25519\n", "@" + b64[:20] + "\r\n" + b64[20:] + ".ed25519",
	}
	if url := base64.URLEncoding.EncodeToString(raw[:]); url != b64 {
		spellings = append(spellings, "@"+url+".ed25519")
	}
	for _, s := range spellings {
		err := admin.Call(within(t, 10*time.Second), "peers.add", map[string]any{"key": s, "options": []string{"level=trusted"}}, nil)
		if e, ok := err.(*client.Error); !ok || e.Code != client.BadRequest {
			t.Errorf("peers.add %q: %v, want bad_request", s, err)
		}
	}
	err = admin.Call(within(t, 10*time.Second), "peers.add", peerCall{Key: key.Public()}, nil)
	if e, ok := err.(*client.Error); !ok || e.Code != client.NotAllowed {
		t.Errorf("peers.add of the revoked key: %v, want not_allowed", err)
	}
	for _, k := range []shs.PublicKey{raw, high} {
		if _, err := d.far(t, key); err == nil {
			t.Errorf("in as %s", k)
		}
	}
	after, err := os.ReadFile(d.dir + "/authorized_peers")
	must(t, err)
	if string(after) != string(before) {
		t.Errorf("the list has changed to %q", after)
	}
	report(t, "F64", "%d other spellings of a revoked key were refused by the list; the key itself stays refused", len(spellings))
}
