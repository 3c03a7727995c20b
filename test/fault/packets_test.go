//go:build fault

package fault_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/switchboard"
)

// F09: a packet header that claims 4 GiB ends the session at once, and costs no
// more memory than one that claims a byte too much.
func TestF09Claim4GiB(t *testing.T) {
	p := serveHere(t, switchboard.Limits{})
	var most [2]uint64
	for i := range times(40, 400) {
		h := p.hand(t)
		what := i / 4 % 2
		header := []string{"\x02\x00\x01\x00\x01\x00\x00\x00\x01", "\x02\xff\xff\xff\xff\x00\x00\x00\x01"}[what]
		yamux, later := i%2 == 1, i/2%2 == 1
		const call = `{"name":["ping"],"args":[]}`
		switch {
		case yamux && later: // not as the first packet
			h.lane(t, 1, call)
		case yamux:
			must(t, h.put(open(1)))
		case later:
			send(t, h, 0x02, 1, call)
			receive(t, h)
		}
		before := allocated()
		var err error
		if yamux {
			err = h.put(content(1, header))
		} else {
			_, err = io.WriteString(h, header)
		}
		must(t, err)
		must(t, h.SetReadDeadline(time.Now().Add(slow*10*time.Second)))
		if _, err = io.Copy(io.Discard, struct{ io.Reader }{h}); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("on yamux %v, as the first packet %v: the server did not end the session", yamux, !later)
		}
		most[what] = max(most[what], allocated()-before)
		h.Close()
	}
	if most[1] > most[0]+64<<10 {
		t.Errorf("%d bytes were allocated between the header and the end, %d after one that claims 64 KiB and a byte", most[1], most[0])
	}
	p.alive(t)
	report(t, "F09", "ended at once; at most %d bytes allocated in the process meanwhile, after one that claims 64 KiB and a byte %d", most[1], most[0])
}

// channelLane is a lane in the hands of a test.
type channelLane interface {
	net.Conn
	CloseWrite() error
	Abort() error
}

// allocated is what the process has allocated since it started.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// F10: JSON that is deep, has very many keys, or one of them twice, or is not
// UTF-8, is answered with bad_request, costs little, and the session lives.
func TestF10HostileJSON(t *testing.T) {
	d, p := startDaemon(t)
	conn := p.enter(t)
	const most = 64 << 10 // of a body
	fill := func(head, unit, tail string) string {
		return head + strings.Repeat(unit, (most-len(head)-len(tail))/len(unit)) + tail
	}
	var keys strings.Builder
	for i := 0; keys.Len() < most-100; i++ {
		fmt.Fprintf(&keys, `"%d":0,`, i)
	}
	n := int32(0)
	var worst time.Duration
	for _, row := range []struct{ name, body string }{
		{"nested arrays, not closed", fill(`{"name":["names","get"],"args":[`, "[", "")},
		{"nested arrays", fill(`{"name":["names","get"],"args":[`, "[", "") + ""},
		{"nested objects", fill(`{"name":["names","get"],"args":[`, `{"a":`, "")},
		{"many keys, one twice", `{` + keys.String() + `"0":0}`},
		{"many keys, no request", `{` + keys.String() + `"x":0}`},
		{"a repeated key", `{"name":["ping"],"args":[],"args":[]}`},
		{"a repeated key inside", `{"name":["names","get"],"args":[{"name":"a","name":"b"}]}`},
		{"not UTF-8", fill(`{"name":["names","get"],"args":[{"name":"`, "\xff", `"}]}`)},
		{"a surrogate alone", `{"name":["names","get"],"args":[{"name":"\ud800"}]}`},
		{"a long name", fill(`{"name":["`, "x", `"],"args":[]}`)},
		{"a long number", fill(`{"name":["names","watch"],"args":[{"since":`, "9", `}]}`)},
		{"many arguments", fill(`{"name":["names","get"],"args":[0`, ",0", `]}`)},
		{"spaces", fill(`{"name":["names","get"],"args":[`, " ", `7]}`)},
	} {
		row.body = row.body[:min(len(row.body), most)]
		const rounds = 100
		before := cpu(t, d.cmd.Process.Pid)
		for range rounds {
			n++
			send(t, conn, 0x02, n, row.body)
			got := receive(t, conn)
			body := string(got.Body)
			if got.Flags != 0x06 || got.Req != -n || !strings.HasPrefix(body, `{"name":"bad_request"`) && !strings.HasPrefix(body, `{"name":"name_invalid"`) {
				t.Fatalf("%s: got %02x %d %.200s", row.name, got.Flags, got.Req, body)
			}
		}
		each := (cpu(t, d.cmd.Process.Pid) - before) / rounds
		worst = max(worst, each)
		if each > slow*10*time.Millisecond {
			t.Errorf("%s: %v of processor time each, want less than %v", row.name, each, slow*10*time.Millisecond)
		}
	}
	send(t, conn, 0x02, n+1, `{"name":["ping"],"args":[]}`)
	if got := receive(t, conn); got.Flags != 0x02 {
		t.Errorf("ping afterwards: got %+v", got)
	}
	p.alive(t)
	report(t, "F10", "%d requests of 64 KiB; at most %v of processor time each", n, worst)
}

// F11: answers that nobody asked for, ENDs of nothing and ENDs sent twice are
// dropped, and nothing grows.
func TestF11Unasked(t *testing.T) {
	d, p := startDaemon(t)
	conn := p.enter(t)
	send(t, conn, 0x0a, 1, `{"name":["names","watch"],"args":[],"type":"source"}`)
	if got := receive(t, conn); got.Req != -1 {
		t.Fatalf("got %+v", got)
	}
	total := times(20_000, 1_000_000)
	var batch []byte
	for _, row := range []string{
		"\x02\x00\x00\x00\x02\xff\xff\xff\xff{}",   // an answer
		"\x06\x00\x00\x00\x02\xff\xff\xff\xfe{}",   // an error
		"\x0a\x00\x00\x00\x01\xff\xff\xff\xfd7",    // an item
		"\x0e\x00\x00\x00\x04\xff\xff\xff\xfctrue", // an END
		"\x0e\x00\x00\x00\x04\x00\x00\x00\x01true", // an END of the watch: once it is one, then a repeat
		"\x0e\x00\x00\x00\x04\x00\x00\x01\x00true", // an END of what never began
		"\x06\x00\x00\x00\x02\x00\x00\x02\x00{}",
		"\x0e\x00\x00\x00\x00\x00\x00\x02\x00",     // without a body
		"\x02\x00\x00\x00\x02\x00\x00\x00\x00{}",   // number 0
		"\x02\x00\x00\x00\x02\x80\x00\x00\x00{}",   // a number that cannot be negated
		"\x0e\x00\x00\x00\x04\x7f\xff\xff\xfftrue", // the last number
	} {
		batch = append(batch, row...)
	}
	const perBatch = 11
	before := rss(t, d.cmd.Process.Pid)
	for n := 0; n < total; n += perBatch {
		_, err := conn.Write(batch)
		must(t, err)
		if n%10_000 < perBatch {
			must(t, conn.SetDeadline(time.Now().Add(slow*time.Minute)))
		}
	}
	send(t, conn, 0x02, 2, `{"name":["ping"],"args":[]}`)
	if got := receive(t, conn); got.Req != -1 || got.Flags != 0x0e { // of the watch
		t.Errorf("got %02x %d %s, want the END of the watch", got.Flags, got.Req, got.Body)
	}
	if got := receive(t, conn); got.Req != -2 || got.Flags != 0x02 {
		t.Errorf("got %02x %d %s, want the answer to ping", got.Flags, got.Req, got.Body)
	}
	grew := rss(t, d.cmd.Process.Pid) - before
	if grew > 16<<20 {
		t.Errorf("the server grew by %s, want less than 16 MiB", mib(grew))
	}
	p.alive(t)
	report(t, "F11", "%d packets dropped, none answered; the server grew by %s", total, mib(grew))
}

// F12: a peer that never reads what it asks for is read no further, and cut
// after it has taken nothing for 10 s; others are served.
func TestF12DeafPeer(t *testing.T) {
	d, p := startDaemon(t)
	before := rss(t, d.cmd.Process.Pid)
	var wg sync.WaitGroup
	took := make([]time.Duration, 2)
	lived := make([]time.Duration, 2)
	asked := make([]int, 2)
	for i := range took {
		conn := p.enter(t)
		must(t, conn.SetDeadline(time.Now().Add(2*time.Minute)))
		lane := channelLane(conn)
		if i == 1 { // on yamux, whose own frames are read
			m := mux.Client(conn, mux.Config{})
			defer m.Close()
			st, err := m.Open(t.Context())
			must(t, err)
			lane = st
		}
		wg.Go(func() {
			began := time.Now()
			var last time.Time
			var err error
			for n := range times(100_000, 1_000_000) {
				request := muxrpc.Packet{Flags: 0x02, Req: int32(n + 1), Body: []byte(`{"name":["names","list"],"args":[]}`)}
				if err = muxrpc.WritePacket(lane, request); err != nil {
					break
				}
				asked[i]++
				last = time.Now()
			}
			took[i], lived[i] = time.Since(last), time.Since(began)
			if err == nil {
				t.Errorf("%d requests were taken and no answer was read", asked[i])
			}
		})
	}
	wg.Add(1)
	stop := time.AfterFunc(8*time.Second, func() { // while both are stuck
		defer wg.Done()
		p.alive(t)
	})
	defer stop.Stop()
	wg.Wait()
	grew := rss(t, d.cmd.Process.Pid) - before
	for i, d := range took {
		if lived[i] < 10*time.Second || d > slow*20*time.Second { // some requests are taken when no answer is any more
			t.Errorf("%d: cut %v after the first request and %v after the last that was taken, want about 10 s", i, lived[i], d)
		}
	}
	if grew > 16<<20 {
		t.Errorf("the server grew by %s, want less than 16 MiB", mib(grew))
	}
	p.alive(t)
	report(t, "F12", "cut %v after the last of %v requests was taken; the server grew by %s", took, asked, mib(grew))
}
