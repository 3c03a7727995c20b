//go:build fault

package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
)

// end is one end of a channel of F33, and what it does.
type end struct {
	conn   *channel.Conn
	flow   flow
	writes []int  // sizes
	finish finish // after the writes
	stop   int64  // bytes after which it reads no more; negative: reads to the end
	sudden finish // done beside the writes, at a moment of its own; zero: nothing
	wait   int    // until then
	die    func() // what sudden death is
	client *client.Client

	mu      sync.Mutex
	written int64 // guarded by mu, as are all below
	ended   bool  // CloseWrite or Close succeeded
	closed  bool  // Close, Abort or death: what it reads itself proves nothing
	torn    bool  // Abort or death
	got     int64
	readErr error
}

// finish is how an end ends.
type finish int

const (
	nothing finish = iota
	closeWrite
	closeBoth
	abort
	death
)

// F33: a thousand channels whose ends write, read, half-close, close and abort
// at random, or die: what is read is an exact prefix of what was written, and
// an end of file stands only behind all of it.
func TestF33Schedules(t *testing.T) {
	_, p := startDaemon(t)
	seed := rand.Uint64()
	n := times(100, 1000)
	var whole, cut atomic.Int64
	var wg sync.WaitGroup
	work := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range work {
				schedule(t, p, i, rand.New(rand.NewPCG(seed, uint64(i))), &whole, &cut)
			}
		})
	}
	for i := range n {
		if t.Failed() {
			break
		}
		work <- i
	}
	close(work)
	wg.Wait()
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
	p.alive(t)
	report(t, "F33", "%d schedules: %d directions read to the end of file, each whole; %d cut, each an exact prefix and an error", n, whole.Load(), cut.Load())
}

// schedule runs one channel.
func schedule(t *testing.T, p place, i int, r *rand.Rand, whole, cut *atomic.Int64) {
	name := fmt.Sprintf("org.example.schedule%d", i)
	ends := pairUp(t, p, name, r)
	if ends[0] == nil || ends[1] == nil {
		return
	}
	var wg sync.WaitGroup
	for j, e := range ends {
		e.plan(r)
		wg.Go(e.write)
		wg.Go(func() { e.read(ends[1-j].flow) })
		wg.Go(e.surprise)
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Errorf("schedule %d: an end still waits after a minute: %v, %v", i, ends[0], ends[1])
	}
	for j, e := range ends {
		e.conn.Abort()
		e.client.Close()
		e.judge(t, fmt.Sprintf("schedule %d, end %d", i, j), ends[1-j], whole, cut)
	}
}

// pairUp opens a channel between two fresh clients in a random mode.
func pairUp(t *testing.T, p place, name string, r *rand.Rand) (ends [2]*end) {
	single, mode := r.IntN(2) == 1, client.Mode(r.IntN(3))
	var clients [2]*client.Client
	for j := range clients {
		var mu sync.Mutex
		var raws []net.Conn
		c, err := client.Dial(within(t, time.Minute), client.Config{
			Address: shs.Address{Network: "unix", Addr: p.unix, Key: p.key}.String(),
			Key:     shs.GenerateKey(), Mode: mode, SingleLane: single, NoReconnect: true,
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				var d net.Dialer
				conn, err := d.DialContext(ctx, network, addr)
				mu.Lock()
				defer mu.Unlock()
				raws = append(raws, conn)
				return conn, err
			},
		})
		if err != nil {
			t.Error(err)
			return
		}
		clients[j] = c
		ends[j] = &end{client: c, flow: flow(r.Uint64()), die: func() {
			mu.Lock()
			defer mu.Unlock()
			for _, raw := range raws {
				raw.Close()
			}
		}}
	}
	ln, err := clients[1].Listen(within(t, time.Minute), name)
	if err != nil {
		t.Error(err)
		return [2]*end{}
	}
	caller, err := clients[0].Open(within(t, time.Minute), name, client.OpenOptions{})
	if err != nil {
		t.Error(err)
		return [2]*end{}
	}
	callee, err := ln.Accept()
	if err != nil {
		t.Error(err)
		return [2]*end{}
	}
	ends[0].conn, ends[1].conn = caller, callee.(*channel.Conn)
	return ends
}

// plan makes up what an end does. Whoever stops reading closes, so that nobody
// waits for it for ever.
func (e *end) plan(r *rand.Rand) {
	for range r.IntN(8) {
		e.writes = append(e.writes, 1+r.IntN([]int{10, 5000, 100_000}[r.IntN(3)]))
	}
	e.finish = []finish{closeWrite, closeWrite, closeWrite, closeWrite, closeBoth, abort}[r.IntN(6)]
	e.stop = -1
	e.wait = r.IntN(2000)
	switch r.IntN(16) {
	case 0:
		e.stop, e.sudden = int64(r.IntN(1000)), closeBoth
	case 1:
		e.sudden = closeBoth // during a write, perhaps
	case 2:
		e.sudden = abort
	case 3:
		e.sudden = death
	}
}

func (e *end) write() {
	buf := make([]byte, 100_000)
	off := int64(0)
	for _, size := range e.writes {
		e.flow.fill(buf[:size], off)
		n, err := e.conn.Write(buf[:size])
		off += int64(n)
		e.mu.Lock()
		e.written = off
		e.mu.Unlock()
		if err != nil {
			break
		}
	}
	e.act(e.finish)
}

// act ends the end. The note that it tears comes before the deed, the note that
// it ended well after.
func (e *end) act(f finish) {
	e.mu.Lock()
	e.closed = e.closed || f > closeWrite
	e.torn = e.torn || f > closeBoth
	e.mu.Unlock()
	var err error
	switch f {
	case closeWrite:
		err = e.conn.CloseWrite()
	case closeBoth:
		err = e.conn.Close()
	case abort:
		e.conn.Abort()
	case death:
		e.die()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil && (f == closeWrite || f == closeBoth) {
		e.ended = true
	}
}

func (e *end) surprise() {
	if e.sudden == nothing {
		return
	}
	for range e.wait {
		runtime.Gosched()
	}
	e.act(e.sudden)
}

func (e *end) read(f flow) {
	src := io.Reader(e.conn)
	if e.stop >= 0 {
		src = io.LimitReader(src, e.stop)
	}
	n, err := f.receive(src, func() {})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got, e.readErr = n, err
	if e.stop >= 0 {
		e.closed = true // its io.EOF may be its own
	}
}

// judge holds what e read against what other wrote.
func (e *end) judge(t *testing.T, what string, other *end, whole, cut *atomic.Int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	if errors.Is(e.readErr, errAltered) {
		t.Errorf("%s: altered after %d bytes", what, e.got)
	}
	if e.got > other.written {
		t.Errorf("%s: got %d bytes of %d that were written", what, e.got, other.written)
	}
	if e.stop >= 0 || e.closed {
		return
	}
	if e.readErr == io.EOF {
		whole.Add(1)
		if !other.ended && !other.closed || e.got != other.written {
			t.Errorf("%s: end of file after %d bytes; the other end wrote %d, and ended well: %v", what, e.got, other.written, other.ended)
		}
		return
	}
	cut.Add(1)
	if !other.closed { // it did nothing but write and half-close
		t.Errorf("%s: got %v after %d of %d bytes, want all and the end of file", what, e.readErr, e.got, other.written)
	}
}

// String tells where an end hangs.
func (e *end) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("wrote %d of %v, then %d; beside it %d; read %d, %v", e.written, e.writes, e.finish, e.sudden, e.got, e.readErr)
}

// F42: whatever a caller says of itself, the callee is told what the server
// knows.
func TestF42Forgeries(t *testing.T) {
	_, p := startDaemon(t)
	callee := p.client(t, "unix")
	_, err := callee.Claim(within(t, 10*time.Second), "org.example.callee", client.ClaimOptions{})
	must(t, err)
	victim := p.client(t, "unix") // whose place the caller wants to take
	_, err = victim.Claim(within(t, 10*time.Second), "org.example.victim", client.ClaimOptions{})
	must(t, err)
	who, err := victim.WhoAmI(within(t, 10*time.Second))
	must(t, err)

	key := shs.GenerateKey()
	plugin := mux.Client(p.login(t, p.dial(t, "unix"), shs.GenerateKey()), mux.Config{})
	defer plugin.Close()
	lane, err := plugin.Open(t.Context())
	must(t, err)
	send(t, lane, 0x02, 1, `{"name":["names","claim"],"args":[{"name":"org.example.plugin"}]}`)
	receive(t, lane)
	caller := mux.Client(p.login(t, p.dial(t, "unix"), key), mux.Config{})
	defer caller.Close()
	lane, err = caller.Open(t.Context())
	must(t, err)
	send(t, lane, 0x02, 1, `{"name":["whoami"],"args":[]}`)
	var me control.WhoAmI
	must(t, json.Unmarshal(receive(t, lane).Body, &me))

	peer := fmt.Sprintf(`{"id":%q,"session":%q,"names":["org.example.victim"],"level":"verified","tenant":"other"}`, who.ID, who.Session)
	forged := fmt.Sprintf(`"peer":%s,"Peer":%s,"from":%q,"id":%q,"session":%q,"names":["org.example.victim"],"name":"org.example.victim",`+
		`"level":"verified","tenant":"other","channel":"00000000000000000000000000000000","token":"00000000000000000000000000000000","To":"org.example.callee","epoch_":1`,
		peer, peer, who.ID, who.ID, who.Session)
	metas := []string{`{` + forged + `}`, peer, `"x"`, `null`}
	for _, meta := range metas {
		checkOffer(t, caller, plugin, meta, forged, fmt.Sprintf("{%v %s [] trusted }", key.Public(), me.Session))
	}
	report(t, "F42", "%d offers with forged id, session, names, level, tenant, token and channel: the callee saw the proven ones", len(metas))
}

// checkOffer opens a channel with forged fields, and looks at all that the callee
// is told.
func checkOffer(t *testing.T, caller, plugin *mux.Session, meta, forged, want string) {
	t.Helper()
	lane, err := caller.Open(t.Context())
	must(t, err)
	defer lane.Close()
	send(t, lane, 0x0a, 1, `{"name":["connect"],"args":[{"to":"org.example.plugin","meta":`+meta+`,`+forged+`}],"type":"duplex"}`)
	offer, err := plugin.Accept(within(t, 10*time.Second))
	must(t, err)
	defer offer.Close()
	var req struct{ Args []json.RawMessage }
	must(t, json.Unmarshal(receive(t, offer).Body, &req))
	var fields map[string]json.RawMessage
	must(t, json.Unmarshal(req.Args[0], &fields))
	var got control.OfferArgs
	must(t, control.Decode(req.Args, &got))
	if fmt.Sprint(got.Peer) != want || got.Name != "org.example.plugin" || got.Token != "" || strings.Trim(got.Channel, "0") == "" {
		t.Errorf("the callee was told %s, want the peer %s", req.Args[0], want)
	}
	if string(got.Meta) != meta && meta != "null" {
		t.Errorf("meta is %s, want %s as it was sent", got.Meta, meta)
	}
	for field := range fields {
		if !strings.Contains(" channel name epoch peer meta ", " "+field+" ") {
			t.Errorf("the offer has a field %q, which the server does not stamp: %s", field, fields[field])
		}
	}
	send(t, offer, 0x0a, -1, `{}`)
	if res := receive(t, lane); res.Flags != 0x0a {
		t.Errorf("connect: got %s", res.Body)
	}
}
