package shs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTampering flips each byte of each message on its way.
func TestTampering(t *testing.T) {
	masks := []byte{0x01, 0x80} // the top bit of a key means nothing to X25519
	if testing.Short() {
		masks = masks[1:]
	}
	for _, mask := range masks {
		for at := range 64 + 112 {
			tamper(t, at, mask, false)
		}
		for at := range 64 + 80 {
			tamper(t, at, mask, true)
		}
	}
}

func tamper(t *testing.T, at int, mask byte, toClient bool) {
	t.Helper()
	a, b := net.Pipe()
	clientCfg, serverCfg := configs(Box)
	if toClient {
		a = &flipping{Conn: a, at: at, mask: mask}
	} else {
		b = &flipping{Conn: b, at: at, mask: mask}
	}
	client, server := Client(a, clientCfg), Server(b, serverCfg)
	clientErr, serverErr := shakeBoth(t.Context(), client, server)
	if clientErr == nil {
		t.Errorf("byte %d with mask %#x, to client %v: the client is content", at, mask, toClient)
	}
	if lastMessage := toClient && at >= 64; serverErr == nil && !lastMessage {
		t.Errorf("byte %d with mask %#x, to client %v: the server is content", at, mask, toClient)
	}
	if client.RemoteKey() != (PublicKey{}) {
		t.Errorf("byte %d: the client names a remote key", at)
	}
	server.Abort()
}

// TestNoReuse runs the same keys twice: no message may come twice.
func TestNoReuse(t *testing.T) {
	var seen [2][2][]byte
	for i := range seen {
		a, b := net.Pipe()
		ra, rb := &recording{Conn: a}, &recording{Conn: b}
		client, server := connect(t, Box, ra, rb)
		go drain(server)
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		client.Abort()
		seen[i] = [2][]byte{ra.Bytes(), rb.Bytes()}
	}
	for side := range 2 {
		one, two := seen[0][side], seen[1][side]
		for i := 0; i+16 <= len(one); i += 16 {
			if bytes.Equal(one[i:i+16], two[i:i+16]) {
				t.Errorf("side %d: bytes %d to %d come twice", side, i, i+16)
			}
		}
	}
}

// TestTrickle fragments everything into single bytes (F08).
func TestTrickle(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		a, b := net.Pipe()
		client, server := connect(t, mode, pieces{a, 1}, pieces{b, 1})
		go echo(server)
		want := bytes.Repeat([]byte("trickle "), 1000)
		go func() {
			client.Write(want)
			client.CloseWrite()
		}()
		if got, err := io.ReadAll(client); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%v: got %d bytes, %v, want %d", mode, len(got), err, len(want))
		}
	}
}

// TestCoalesced sends message 4 and the first boxes in one segment, and
// message 3 byte by byte (F08).
func TestCoalesced(t *testing.T) {
	rawClient, raw := socketPair(t, "tcp", "127.0.0.1:0")
	cfg, _ := configs(Box)
	client := Client(rawClient, cfg)
	defer client.Abort()
	p := refBob()
	served := make(chan error, 1)
	go func() {
		held := &holding{ReadWriter: pieces{raw, 1}}
		_, err := p.serve(held)
		raw.Write(join(held.held, p.write.seal([]byte("at ")), p.write.seal([]byte("once")), p.write.goodbye()))
		served <- err
	}()
	got, err := io.ReadAll(client)
	if string(got) != "at once" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// holding lets the first message through and keeps the later ones.
type holding struct {
	io.ReadWriter
	begun bool
	held  []byte
}

func (h *holding) Write(p []byte) (int, error) {
	if h.begun {
		h.held = append(h.held, p...)
		return len(p), nil
	}
	h.begun = true
	return h.ReadWriter.Write(p)
}

// TestSilentServer counts what a server says to those it does not admit (F06).
func TestSilentServer(t *testing.T) {
	denied := errors.New("denied")
	wrongNetwork, wrongServer := refAlice(), refAlice()
	wrongNetwork.network = sum("another network")
	key := alice.Public() // a good key, and not bob's
	wrongServer.server = key[:]
	for _, tt := range []struct {
		name      string
		client    *refParty
		authorize func(PublicKey, Mode) error
		bytes     int
		err       error
	}{
		{"another network", wrongNetwork, nil, 0, ErrHello},
		{"another server", wrongServer, nil, 64, ErrProof},
		{"not authorized", refAlice(), func(k PublicKey, m Mode) error {
			if k != alice.Public() || m != Box {
				t.Errorf("asked to authorize %v for %v", k, m)
			}
			return denied
		}, 64, denied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := net.Pipe()
			rec := &recording{Conn: b}
			_, cfg := configs(Box)
			cfg.Authorize = tt.authorize
			server := Server(rec, cfg)
			done := make(chan error)
			go func() { done <- server.Handshake(t.Context()) }()
			if err := tt.client.client(a); err == nil {
				t.Error("the client is content")
			}
			if err := <-done; !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if n := rec.Len(); n != tt.bytes {
				t.Errorf("the server sent %d bytes, want %d", n, tt.bytes)
			}
			if _, err := server.Write([]byte("x")); !errors.Is(err, tt.err) {
				t.Errorf("a later Write: got %v, want %v", err, tt.err)
			}
		})
	}
}

// TestRefused is the same as our client sees it: a closed connection.
func TestRefused(t *testing.T) {
	for _, tr := range transports {
		for _, late := range []bool{false, true} {
			a, b := tr.pipe(t)
			clientCfg, serverCfg := configs(Box)
			if late {
				serverCfg.Authorize = func(PublicKey, Mode) error { return errors.New("denied") }
			} else {
				serverCfg.NetworkKey = sum("another network")
			}
			clientErr, serverErr := shakeBoth(t.Context(), Client(a, clientCfg), Server(b, serverCfg))
			if !errors.Is(clientErr, ErrRefused) || serverErr == nil {
				t.Errorf("%s, late %v: client %v, server %v", tr.name, late, clientErr, serverErr)
			}
		}
	}
}

// TestStalled is a peer that sends a byte each 500 ms (F07).
func TestStalled(t *testing.T) {
	for _, tt := range []struct {
		name   string
		within time.Duration // of the caller's own, 0 for none
		want   time.Duration
		err    error
	}{
		{"default", 0, 5 * time.Second, context.DeadlineExceeded},
		{"own deadline", 2 * time.Second, 2 * time.Second, context.DeadlineExceeded},
	} {
		for _, side := range []string{"client", "server"} {
			t.Run(tt.name+"/"+side, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := t.Context()
					if tt.within > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tt.within)
						defer cancel()
					}
					a, b := net.Pipe()
					clientCfg, serverCfg := configs(Box)
					conn := Server(b, serverCfg)
					if side == "client" {
						conn = Client(b, clientCfg)
					}
					var wg sync.WaitGroup
					defer wg.Wait()
					wg.Go(func() { slowLoris(a) })
					begin := time.Now()
					err := conn.Handshake(ctx)
					if took := time.Since(begin); took != tt.want || !errors.Is(err, tt.err) {
						t.Errorf("got %v after %v, want %v after %v", err, took, tt.err, tt.want)
					}
				})
			})
		}
	}
}

// slowLoris sends a byte each 500 ms and takes what comes, until cut off.
func slowLoris(c net.Conn) {
	go drain(c)
	for {
		if _, err := c.Write([]byte{0x10}); err != nil {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// TestStalledRead is the deadline of a handshake that Read began.
func TestStalledRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		_, cfg := configs(Box)
		conn := Server(b, cfg)
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { slowLoris(a) })
		begin := time.Now()
		_, err := conn.Read(make([]byte, 1))
		var timeout net.Error
		if took := time.Since(begin); took != 5*time.Second || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v after %v, want a timeout after 5 s", err, took)
		}
	})
}

func TestHandshakeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		a, b := net.Pipe()
		_, cfg := configs(Box)
		cause := errors.New("the operator went home")
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if err := Server(b, cfg).Handshake(ctx); !errors.Is(err, cause) {
			t.Errorf("got %v, want %v", err, cause)
		}
		if _, err := a.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection below: got %v, want it closed", err)
		}
	})
}

func TestCloseDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := net.Pipe()
		_, cfg := configs(Box)
		conn := Server(b, cfg)
		time.AfterFunc(time.Second, func() { conn.Close() })
		if err := conn.Handshake(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want %v", err, net.ErrClosed)
		}
	})
}

// TestReplay sends a recorded client once more (F15).
func TestReplay(t *testing.T) {
	a, b := net.Pipe()
	rec := &recording{Conn: a}
	client, _ := connect(t, Box, rec, b)
	client.Abort()
	recorded := rec.Bytes()
	if len(recorded) != 64+112 {
		t.Fatalf("the client sent %d bytes", len(recorded))
	}

	a, b = net.Pipe()
	out := &recording{Conn: b}
	_, cfg := configs(Box)
	cfg.Authorize = func(PublicKey, Mode) error {
		t.Error("a replayed client is asked to be authorized")
		return nil
	}
	go a.Write(recorded)
	go drain(a)
	if err := Server(out, cfg).Handshake(t.Context()); !errors.Is(err, ErrProof) {
		t.Errorf("got %v, want %v", err, ErrProof)
	}
	if out.Len() != 64 {
		t.Errorf("the server sent %d bytes, want 64", out.Len())
	}
}

// TestModes is every pair of a client's and a server's mode (F19).
func TestModes(t *testing.T) {
	k := DefaultNetworkKey()
	other := NetworkKey(sum("another network"))
	type keys struct{ network, plain NetworkKey }
	clients := map[string]keys{
		"box":          {k, NetworkKey{}},
		"box other":    {other, NetworkKey{}},
		"plain":        {k, k.Plain(1, 2)},
		"plain uids":   {k, k.Plain(2, 1)},
		"plain other":  {other, other.Plain(1, 2)},
		"plain direct": {k, k.Direct([32]byte{}, [16]byte{}, alice.Public(), bob.Public())},
	}
	servers := map[string]keys{
		"box":       {k, NetworkKey{}},
		"box+plain": {k, k.Plain(1, 2)},
	}
	want := map[string]Mode{"box to box": Box, "box to box+plain": Box, "plain to box+plain": Plain}
	for cname, ck := range clients {
		for sname, sk := range servers {
			name := cname + " to " + sname
			a, b := net.Pipe()
			rec := &recording{Conn: b}
			client := Client(a, &Config{Key: alice, ServerKey: bob.Public(), NetworkKey: ck.network, PlainKey: ck.plain})
			server := Server(rec, &Config{Key: bob, NetworkKey: sk.network, PlainKey: sk.plain})
			clientErr, serverErr := shakeBoth(t.Context(), client, server)
			mode, ok := want[name]
			switch {
			case ok && (clientErr != nil || serverErr != nil):
				t.Errorf("%s: client %v, server %v", name, clientErr, serverErr)
			case ok && (client.Mode() != mode || server.Mode() != mode):
				t.Errorf("%s: modes %v, %v, want %v", name, client.Mode(), server.Mode(), mode)
			case !ok && (!errors.Is(clientErr, ErrRefused) || !errors.Is(serverErr, ErrHello) || rec.Len() != 0):
				t.Errorf("%s: client %v, server %v, %d bytes", name, clientErr, serverErr, rec.Len())
			}
			client.Abort()
			server.Abort()
		}
	}
}

func TestConfigErrors(t *testing.T) {
	k := DefaultNetworkKey()
	for name, cfg := range map[string]*Config{
		"no key":        {ServerKey: bob.Public()},
		"no server key": {Key: alice},
		"same keys":     {Key: alice, ServerKey: bob.Public(), NetworkKey: k, PlainKey: k},
	} {
		a, b := net.Pipe()
		go drain(b)
		if err := Client(a, cfg).Handshake(t.Context()); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
