//go:build fault

package fault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// serveRules runs a server in this process, on a Unix socket, until the test ends.
func serveRules(t testing.TB, cfg switchboard.Config) (*switchboard.Server, place) {
	t.Helper()
	cfg.Key = shs.GenerateKey()
	cfg.Limits.Admission.SessionsPerUID = ofOneUser
	srv, err := switchboard.New(cfg)
	must(t, err)
	p := place{key: srv.Key(), unix: filepath.Join(room(t), "s")}
	ln, err := switchboard.Listen(t.Context(), "unix:"+p.unix)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	return srv, p
}

// keyed logs in with a key.
func keyed(key shs.PrivateKey) func(*client.Config) {
	return func(cfg *client.Config) { cfg.Key = key }
}

// F35: the owner of a name dies, fifty others claim it, and its key comes back
// within the hold: that has it again. When nobody comes back, one of the others
// has it after the hold.
func TestF35HoldForLastOwner(t *testing.T) {
	const name, hold = "org.example.held", slow * 500 * time.Millisecond
	_, p := serveRules(t, switchboard.Config{Limits: switchboard.Limits{NameHold: hold}})
	ctx := within(t, 5*time.Minute)
	others := crowd(t, p, 50)
	key := shs.GenerateKey()
	claimAll := func() (owners int) {
		for _, c := range others {
			switch _, err := c.Claim(ctx, name, client.ClaimOptions{}); {
			case err == nil:
				owners++
			case !errors.Is(err, client.NameTaken):
				t.Errorf("got %v, want %v", err, client.NameTaken)
			}
		}
		return owners
	}
	owner := p.client(t, "unix", keyed(key))
	rounds, early := times(3, 50), 0
	next := follow(ctx, t, others[0], name)
	next(client.EventSynced)
	for range rounds {
		if _, err := owner.Claim(ctx, name, client.ClaimOptions{}); err != nil {
			t.Fatal(err)
		}
		next(client.EventConnected)
		owner.Close()
		next(client.EventDisconnected)
		died := time.Now()
		if n := claimAll(); n > 0 && time.Since(died) < hold {
			t.Fatalf("%d others have the name within the hold", n)
		} else if n > 0 {
			t.Fatalf("the machine is too slow for this test: fifty claims took %v", time.Since(died))
		}
		owner = p.client(t, "unix", keyed(key))
		early++
	}
	if _, err := owner.Claim(ctx, name, client.ClaimOptions{}); err != nil {
		t.Fatal(err)
	}
	owner.Close()
	owners := 0
	if !eventually(10*hold, func() bool { owners = claimAll(); return owners > 0 }) || owners != 1 {
		t.Errorf("after the hold %d others have the name, want 1", owners)
	}
	report(t, "F35", "%d times the key that came back had its name, before 50 others; after a hold of %v one of these", early, hold)
}

// F37: two sessions of one key that both insist on a name: it changes hands only
// by replace, and no more than three times in 30 s.
func TestF37OneKeyTwice(t *testing.T) {
	const name = "org.example.twice"
	_, p := serveRules(t, switchboard.Config{})
	ctx := within(t, time.Minute)
	key := shs.GenerateKey()
	twins := []*client.Client{p.client(t, "unix", keyed(key)), p.client(t, "unix", keyed(key))}
	next := follow(ctx, t, p.client(t, "unix"), name)
	next(client.EventSynced)
	_, err := twins[0].Claim(ctx, name, client.ClaimOptions{})
	must(t, err)
	next(client.EventConnected)
	if _, err := twins[1].Claim(ctx, name, client.ClaimOptions{}); !errors.Is(err, client.NameTaken) {
		t.Errorf("a clone without replace: got %v, want %v", err, client.NameTaken)
	}
	took, refused := 0, 0
	for i := range 20 {
		switch _, err := twins[(i+1)%2].Claim(ctx, name, client.ClaimOptions{Replace: true}); {
		case err == nil:
			took++
		case errors.Is(err, client.RateLimited):
			refused++
		default:
			t.Fatal(err)
		}
		if refused > 0 && i%2 == 1 {
			break
		}
	}
	if took != 3 || refused == 0 {
		t.Errorf("%d replaces took effect, %d were refused", took, refused)
	}
	for range took {
		next(client.EventMoved)
	}
	report(t, "F37", "the name changed hands %d times, then rate_limited", took)
}

// F38: to who may not see a name it is not there: each answer is the same, to the
// byte, as for a name that nobody has, and takes as long.
func TestF38HiddenIsAbsent(t *testing.T) {
	owner, stranger := shs.GenerateKey(), shs.GenerateKey()
	_, p := serveRules(t, switchboard.Config{Limits: switchboard.Limits{CallBurst: 1 << 30}, Policy: ruling(t,
		owner.Public().String()+" level=trusted", stranger.Public().String()+" level=trusted see=org.other.** own=com.**")})
	ctx := within(t, 5*time.Minute)
	_, err := p.client(t, "unix", keyed(owner)).Claim(ctx, "org.example.hidden", client.ClaimOptions{})
	must(t, err)
	ask := func(conn *shs.Conn, n int32, method, kind, name string) []byte {
		flags := byte(0x02)
		if kind != "async" {
			flags = 0x0a
		}
		send(t, conn, flags, n, fmt.Sprintf(`{"name":%s,"args":[{"name":%q,"match":%q,"to":%q,"info":{}}],"type":%q}`, method, name, name, name, kind))
		got := receive(t, conn)
		return append([]byte{got.Flags}, withoutRev(got.Body)...)
	}
	calls := 0
	for _, c := range [][2]string{{`["names","get"]`, "async"}, {`["names","list"]`, "async"}, {`["names","claim"]`, "async"}, {`["names","release"]`, "async"},
		{`["names","update"]`, "async"}, {`["names","watch"]`, "source"}, {`["connect"]`, "duplex"}} {
		var answers [2][]byte
		for i, name := range []string{"org.example.hidden", "org.example.absent"} {
			answers[i] = ask(p.login(t, p.dial(t, "unix"), stranger), 1, c[0], c[1], name)
		}
		if !bytes.Equal(answers[0], answers[1]) || bytes.Contains(answers[0], []byte("hidden")) {
			t.Errorf("%s: %s of what is hidden, %s of what is not there", c[0], answers[0], answers[1])
		}
		calls++
	}
	// The two are asked for in turn, and compared by their medians.
	conn := p.login(t, p.dial(t, "unix"), stranger)
	var took [2][]time.Duration
	for i := range times(2000, 50_000) * 2 {
		began := time.Now()
		ask(conn, int32(i+1), `["names","get"]`, "async", []string{"org.example.hidden", "org.example.absent"}[i%2])
		took[i%2] = append(took[i%2], time.Since(began))
	}
	for i := range took {
		slices.Sort(took[i])
	}
	hidden, absent := took[0][len(took[0])/2], took[1][len(took[1])/2]
	if ratio := float64(hidden) / float64(absent); ratio < 0.5 || ratio > 2 {
		t.Errorf("the median of hidden is %v, of absent %v", hidden, absent)
	}
	report(t, "F38", "%d calls answered alike to the byte; medians of names.get: hidden %v, absent %v", calls, hidden, absent)
}

// withoutRev is a body without its numbers of the registry's counter.
func withoutRev(body []byte) []byte {
	text := string(body)
	if _, after, ok := strings.Cut(text, `"rev":`); ok {
		text = strings.TrimLeft(after, "0123456789")
	}
	return []byte(text)
}

// F63: a new policy takes talk from a caller that streams: its channel is reset at
// both ends within a second; another one, of another caller, loses no byte.
func TestF63TalkIsTaken(t *testing.T) {
	owner, loser, keeper := shs.GenerateKey(), shs.GenerateKey(), shs.GenerateKey()
	lines := []string{owner.Public().String() + " level=trusted", loser.Public().String() + " level=trusted talk=org.**", keeper.Public().String() + " level=trusted talk=org.**"}
	srv, p := serveRules(t, switchboard.Config{Policy: ruling(t, lines...)})
	ctx := within(t, 5*time.Minute)
	never := func(cfg *client.Config) { cfg.Direct = client.DirectNever }
	ln, err := p.client(t, "unix", keyed(owner), never).Listen(ctx, "org.example.sink")
	must(t, err)
	open := func(key shs.PrivateKey) (caller, callee io.ReadWriteCloser) {
		caller, err := p.client(t, "unix", keyed(key), never).Open(ctx, "org.example.sink", client.OpenOptions{})
		must(t, err)
		callee, err = ln.Accept()
		must(t, err)
		return caller, callee
	}
	lost, lostAt := open(loser)
	kept, keptAt := open(keeper)
	over := make(chan time.Time, 2)
	var wg sync.WaitGroup
	for _, end := range []func() error{
		func() error { _, err := io.Copy(lost, endless{}); return err },
		func() error { _, err := io.Copy(io.Discard, lostAt); return err },
	} {
		wg.Go(func() {
			if err := end(); err == nil {
				t.Error("a channel that was revoked ended in order")
			}
			over <- time.Now()
		})
	}
	stop, size, least := make(chan struct{}), int64(0), int64(times(8, 256))<<20
	wg.Go(func() {
		defer kept.Close()
		for buf, i := make([]byte, 32<<10), byte(0); ; i++ {
			select {
			case <-stop:
				if size >= least {
					return
				}
			default:
			}
			for j := range buf {
				buf[j] = i
			}
			n, err := kept.Write(buf)
			if size += int64(n); err != nil {
				t.Error(err)
				return
			}
		}
	})
	got := make(chan int64, 1)
	wg.Go(func() { got <- inOrder(t, keptAt) })

	lines[1] = strings.Replace(lines[1], "talk=", "see=", 1)
	began := time.Now()
	must(t, srv.SetPolicy(ruling(t, lines...)))
	slowest := max((<-over).Sub(began), (<-over).Sub(began))
	if slowest > atMost(time.Second) {
		t.Errorf("an end went on for %v", slowest)
	}
	close(stop)
	n := <-got
	wg.Wait()
	if n != size {
		t.Errorf("of the other channel's %d bytes %d came", size, n)
	}
	report(t, "F63", "both ends were reset after %v; the other channel had all its %s", slowest.Round(time.Millisecond), mib(size))
}

// endless is a reader without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// inOrder reads blocks of 32 KiB of equal bytes, counted up, to the end in order.
func inOrder(t *testing.T, r io.Reader) (n int64) {
	buf := make([]byte, 32<<10)
	for {
		got, err := r.Read(buf)
		for _, b := range buf[:got] {
			if b != byte(n>>15) {
				t.Errorf("byte %d is %d", n, b)
				return n
			}
			n++
		}
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			return n
		}
	}
}

// F65: two tenants have the same names; nothing of one reaches the other by any
// call, until one exports and the other imports.
func TestF65Tenants(t *testing.T) {
	a, b := shs.GenerateKey(), shs.GenerateKey()
	policy := func(tenants map[string]switchboard.Tenant) *switchboard.Policy {
		p, err := switchboard.NewPolicy(switchboard.PolicyConfig{Tenants: tenants, Peers: strings.NewReader(
			a.Public().String() + " level=trusted tenant=acme\n" + b.Public().String() + " level=trusted tenant=beta\n")})
		must(t, err)
		return p
	}
	srv, p := serveRules(t, switchboard.Config{Policy: policy(nil)})
	ctx := within(t, time.Minute)
	acme, beta := p.client(t, "unix", keyed(a)), p.client(t, "unix", keyed(b))
	next := follow(ctx, t, beta, "**")
	next(client.EventSynced)
	for _, n := range []string{"org.example.store", "org.example.secret"} {
		if _, err := acme.Claim(ctx, n, client.ClaimOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := beta.Claim(ctx, "org.example.store", client.ClaimOptions{})
	must(t, err)
	if ev := next(client.EventConnected); ev.Name != "org.example.store" || ev.Entry.ID != b.Public() {
		t.Errorf("beta heard of %+v", ev)
	}
	for _, n := range []string{"acme/org.example.store", "acme/org.example.secret", "acme/org.example.none"} {
		if _, err := beta.Lookup(ctx, n); !errors.Is(err, client.NotFound) {
			t.Errorf("get %s: %v", n, err)
		}
		if _, err := beta.Open(ctx, n, client.OpenOptions{}); !errors.Is(err, client.NotFound) {
			t.Errorf("open %s: %v", n, err)
		}
		if _, err := beta.Claim(ctx, n, client.ClaimOptions{}); !errors.Is(err, client.NotAllowed) {
			t.Errorf("claim %s: %v", n, err)
		}
	}
	for _, half := range []map[string]switchboard.Tenant{
		{"acme": {Export: []string{"**"}}}, {"beta": {Import: []string{"*/**"}}}, {"acme": {Export: []string{"** -> gamma"}}, "beta": {Import: []string{"*/**"}}},
	} {
		must(t, srv.SetPolicy(policy(half)))
		if _, err := beta.Lookup(ctx, "acme/org.example.store"); !errors.Is(err, client.NotFound) {
			t.Errorf("with %v: %v", half, err)
		}
	}
	must(t, srv.SetPolicy(policy(map[string]switchboard.Tenant{"acme": {Export: []string{"*.*.store -> beta"}}, "beta": {Import: []string{"acme/**"}}})))
	if ev := next(client.EventConnected); ev.Name != "acme/org.example.store" || ev.Entry.ID != a.Public() {
		t.Errorf("beta heard of %+v", ev)
	}
	if e, err := beta.Lookup(ctx, "acme/org.example.store"); err != nil || e.Name != "acme/org.example.store" || e.ID != a.Public() {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, err := beta.Lookup(ctx, "acme/org.example.secret"); !errors.Is(err, client.NotFound) {
		t.Errorf("what is not exported: %v", err)
	}
	report(t, "F65", "of two tenants' names nothing crossed until one exported and the other imported")
}
