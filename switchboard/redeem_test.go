package switchboard_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// inviting is a server that changes its own files, and peers of this process.
type inviting struct {
	t     *testing.T
	local *switchboard.Local
	files peersfile.Files
	srv   *switchboard.Server
}

func newInviting(t *testing.T, limits ...switchboard.Limits) *inviting {
	path := filepath.Join(t.TempDir(), "authorized_peers")
	must(t, os.WriteFile(path, []byte("# list\n"), 0o600))
	cfg := switchboard.Config{Key: seeded(0), Peers: &switchboard.PeerFiles{Authorized: path}}
	for _, cfg.Limits = range limits {
	}
	srv, err := switchboard.New(cfg)
	must(t, err)
	in := &inviting{t, switchboard.NewLocal(), peersfile.Beside(path), srv}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- srv.Serve(ctx, in.local) }()
	t.Cleanup(func() { stop(); <-over })
	return in
}

// invite enters the n-th key as an invite.
func (in *inviting) invite(n byte, d time.Duration) {
	in.t.Helper()
	must(in.t, in.files.AddInvite(in.t.Context(), time.Now(), 32, policy.Key(seeded(n).Public()), "",
		policy.Option{Name: "expires", Value: policy.FormatExpires(time.Now().Add(d).UnixMilli())}))
}

// dial shakes hands with the n-th key under the purpose key.
func (in *inviting) dial(n byte) (*shs.Conn, error) {
	raw, err := in.local.DialContext(in.t.Context(), "", "")
	must(in.t, err)
	must(in.t, raw.SetDeadline(time.Now().Add(20*time.Second)))
	conn := shs.Client(raw, &shs.Config{Key: seeded(n), ServerKey: seeded(0).Public(), NetworkKey: shs.DefaultNetworkKey().Invite()})
	return conn, conn.Handshake(in.t.Context())
}

// call makes the one call of an invite, and wants the connection to end behind its
// answer. It returns the code of an error, or "true".
func (in *inviting) call(n byte, method, args string) string {
	in.t.Helper()
	conn, err := in.dial(n)
	if err != nil {
		return "refused"
	}
	defer conn.Close()
	name, err := json.Marshal(strings.Split(method, "."))
	must(in.t, err)
	body := fmt.Sprintf(`{"name":%s,"args":[%s],"type":"async"}`, name, args)
	must(in.t, muxrpc.WritePacket(conn, muxrpc.Packet{Flags: muxrpc.FlagJSON, Req: 1, Body: []byte(body)}))
	p, err := muxrpc.ReadPacket(conn, 1<<20)
	must(in.t, err)
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		in.t.Errorf("behind the answer: %d bytes, %v", n, err)
	}
	var wire struct{ Name string }
	if json.Unmarshal(p.Body, &wire) == nil {
		return wire.Name
	}
	return string(p.Body)
}

// proof is the argument of a redemption of invite n by key p, signed by key s for
// invite i.
func proof(p, s, i byte) string {
	sig := seeded(s).Sign(control.RedeemLabel, control.RedeemStatement(seeded(0).Public(), seeded(i).Public())...)
	return fmt.Sprintf(`{"key":"%s","signature":"%s"}`, seeded(p).Public(), base64.StdEncoding.EncodeToString(sig))
}

// An invite lets its holder make one call, for a key that the holder has.
func TestRedeemCalls(t *testing.T) {
	in := newInviting(t)
	in.invite(1, time.Hour)
	for _, row := range []struct {
		name         string
		n            byte
		method, args string
		want         string
	}{
		{"no such invite", 2, "invite.redeem", proof(9, 9, 2), "refused"},
		{"another call", 1, "whoami", ``, "not_allowed"},
		{"an administrator's call", 1, "peers.add", `{}`, "not_allowed"},
		{"no argument", 1, "invite.redeem", ``, "bad_request"},
		{"another's signature", 1, "invite.redeem", proof(9, 8, 1), "bad_request"},
		{"for another invite", 1, "invite.redeem", proof(9, 9, 2), "bad_request"},
		{"the server's key", 1, "invite.redeem", proof(0, 0, 1), "bad_request"},
		{"yes", 1, "invite.redeem", proof(9, 9, 1), "true"},
		{"again", 1, "invite.redeem", proof(9, 9, 1), "refused"},
	} {
		if got := in.call(row.n, row.method, row.args); got != row.want {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
	peers, err := in.files.ReadPeers()
	if err != nil || len(peers) != 1 || peers[0].Key != policy.Key(seeded(9).Public()) {
		t.Errorf("the list is %v, %v", peers, err)
	}
}

// The sixth redemption within a minute from one source waits, and costs no invite.
func TestRedeemRate(t *testing.T) {
	in := newInviting(t)
	for n := range byte(6) {
		in.invite(10+n, time.Hour)
		want := "true"
		if n == 5 {
			want = "rate_limited"
		}
		if got := in.call(10+n, "invite.redeem", proof(20+n, 20+n, 10+n)); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	left, err := in.files.ReadInvites(time.Now())
	if err != nil || len(left) != 1 {
		t.Errorf("%d invites are left, %v", len(left), err)
	}
	if over := in.srv.Stats().Over; over["redeem_rate"] != 1 {
		t.Errorf("counted %v", over)
	}
}

// TestInvites: so many are outstanding; one that is taken back makes room.
func TestInvites(t *testing.T) {
	in := newInviting(t, switchboard.Limits{Invites: 2})
	admin := (&host{t: t, srv: in.srv, local: in.local}).lane(0)
	defer admin.lane.Close()
	address := shs.FormatAddresses([]shs.Address{{Network: "net", Addr: "192.0.2.1:7483", Key: in.srv.Key()}})
	var made json.RawMessage
	for n := range int32(3) {
		admin.send(0x02, n+1, request("invites.new", "async", `{"addresses":"`+address+`"}`))
		if n < 2 {
			made = admin.want(0x02, -n-1)
		} else {
			admin.wantError(0x06, -n-1, control.Quota)
		}
	}
	if over := in.srv.Stats().Over; over["invites"] != 1 || len(over) != 1 {
		t.Errorf("counted %v", over)
	}
	admin.call(4, "invites.remove", `{"key":"`+field(t, made, "key")+`"}`)
	admin.call(5, "invites.new", `{"addresses":"`+address+`"}`)
}

// A file of invites that is not in order is found at the start.
func TestBadInvites(t *testing.T) {
	in := newInviting(t)
	for _, bad := range []string{"@x\n", seeded(1).Public().String() + "\n", seeded(1).Public().String() + " admin expires=2027-01-31T12:00:00Z\n",
		"@" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ".ed25519 expires=2127-01-31T12:00:00Z\n"} {
		must(t, os.WriteFile(in.files.Invites, []byte("# x\n"+bad), 0o600))
		_, err := switchboard.New(switchboard.Config{Key: seeded(0), Peers: &switchboard.PeerFiles{Authorized: in.files.Peers}})
		if err == nil || !strings.Contains(err.Error(), in.files.Invites+": line 2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// An invite is good for a week at most, whatever number is asked for.
func TestInviteTimes(t *testing.T) {
	in := newInviting(t)
	raw, err := in.local.DialContext(t.Context(), "", "")
	must(t, err)
	admin := shs.Client(raw, &shs.Config{Key: seeded(0), ServerKey: seeded(0).Public()})
	must(t, admin.Handshake(t.Context()))
	defer admin.Close()
	p := &peer{t: t, lane: admin}
	at := shs.FormatAddresses([]shs.Address{{Network: "net", Addr: "192.0.2.1:7483", Key: seeded(0).Public()}})
	for i, ms := range []int64{-9_223_372_036_855, -1, 0, 999, 7*24*3_600_000 + 1, 18_446_744_075_000} {
		p.send(0x02, int32(i+1), request("invites.new", "async", fmt.Sprintf(`{"ttl_ms":%d,"addresses":"%s"}`, ms, at)))
		if _, code := answerTo(t, p, int32(i+1)); code != control.BadRequest {
			t.Errorf("%d ms: %q", ms, code)
		}
	}
	p.send(0x02, 100, request("invites.new", "async", fmt.Sprintf(`{"ttl_ms":1000,"addresses":"%s"}`, at)))
	if _, code := answerTo(t, p, 100); code != "" {
		t.Errorf("a second: %q", code)
	}
}
