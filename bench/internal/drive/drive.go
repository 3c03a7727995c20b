// Package drive is the half of the bench that runs inside a plugin's process:
// it takes one order a line from the half that measures, puts a load on one
// client, and answers with what it saw.
//
// An order is a Request, an answer a Reply, each one JSON object on a line. An
// order is answered before the next one is read. Fields that an order has no
// use for are left out.
package drive

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"sync"
)

// Client is one plugin that is connected and greeted. What a transport has no
// notion of returns errors.ErrUnsupported. It is safe for concurrent use.
type Client interface {
	// Listen serves the channels to name, each on a goroutine of its own.
	Listen(name string, handle func(io.ReadWriteCloser)) error
	// Open opens a channel to name. The caller closes it.
	Open(name string) (io.ReadWriteCloser, error)
	// Claim and Release take and give up a name.
	Claim(name string) error
	Release(name string) error
	// Watch calls seen for each name that appears, present ones or not, and
	// returns once all later ones will be seen.
	Watch(seen func(name string)) error
	// List returns how many names there are, after it has read all of them;
	// Entries the same, after it has also understood what the server says of each.
	List() (int, error)
	Entries() (int, error)
	// Close ends the client, with its names and channels.
	Close() error
}

// Dialer connects a Client to the server at addr. id is unique among the
// clients of one server.
type Dialer func(addr, id string) (Client, error)

// Request is one order.
type Request struct {
	Op      string  `json:"op"`                // dial serve rtt conc open bulk first stall connrate watch seen claim hold drop list entries profile
	Addr    string  `json:"addr,omitempty"`    // dial, connrate, hold: of the server
	ID      string  `json:"id,omitempty"`      // dial: of the client; connrate, hold: how all of theirs begin
	Name    string  `json:"name,omitempty"`    // serve: of the callee; rtt, conc, open, bulk: whom to call; profile: the file
	Prefix  string  `json:"prefix,omitempty"`  // claim, hold, seen: how the names begin
	Size    int     `json:"size,omitempty"`    // rtt, conc, open: bytes there and back
	Par     int     `json:"par,omitempty"`     // conc, open, connrate: how many at a time
	N       int     `json:"n,omitempty"`       // bulk: bytes; claim, seen: names; stall: channels
	Conns   int     `json:"conns,omitempty"`   // hold: connections
	Names   int     `json:"names,omitempty"`   // hold: names of each
	Chunk   int     `json:"chunk,omitempty"`   // bulk, stall: bytes a write
	Moves   bool    `json:"moves,omitempty"`   // stall: the channels are to move
	GapUS   int     `json:"gap_us,omitempty"`  // claim: pause after each, in µs
	Seconds float64 `json:"seconds,omitempty"` // how long to measure, or for seen to wait
}

// Reply is the answer to one Request.
type Reply struct {
	Err     string           `json:"err,omitempty"`
	N       int              `json:"n,omitempty"` // how many were done, held or listed
	P50     float64          `json:"p50_us,omitempty"`
	P99     float64          `json:"p99_us,omitempty"`
	Rate    float64          `json:"rate,omitempty"` // operations, or bytes, a second
	Bytes   int64            `json:"bytes,omitempty"`
	Seconds float64          `json:"seconds,omitempty"`
	Times   map[string]int64 `json:"times,omitempty"` // by name: wall clock in ns since 1970
}

// worker is the state of one process: its client, further clients that it only
// holds, and when its watch has seen which name.
type worker struct {
	dial   Dialer
	client Client

	mu   sync.Mutex
	held []Client
	seen map[string]int64
	prof *os.File
}

// Serve answers the orders of in on out until in ends. It returns the first
// error of either; one of an order itself is told in its Reply.
func Serve(in io.Reader, out io.Writer, dial Dialer) error {
	w := &worker{dial: dial, seen: make(map[string]int64)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	enc := json.NewEncoder(out)
	for lines.Scan() {
		var q Request
		var r Reply
		err := json.Unmarshal(lines.Bytes(), &q)
		if err == nil {
			r, err = w.obey(q)
		}
		if err != nil {
			r.Err = err.Error()
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if w.client != nil {
		w.client.Close()
	}
	return lines.Err()
}

// obey carries out one order.
func (w *worker) obey(q Request) (Reply, error) {
	if q.Op != "dial" && w.client == nil && needsClient(q.Op) {
		return Reply{}, errors.New("dial first")
	}
	switch q.Op {
	case "dial":
		var err error
		w.client, err = w.dial(q.Addr, q.ID)
		return Reply{}, err
	case "serve":
		return Reply{}, w.client.Listen(q.Name, answer)
	case "rtt":
		return w.rtt(q)
	case "conc":
		return w.conc(q)
	case "open":
		return w.open(q)
	case "bulk":
		return w.bulk(q)
	case "first":
		return w.first(q)
	case "stall":
		return w.stall(q)
	case "connrate":
		return w.connrate(q)
	case "watch":
		return Reply{}, w.client.Watch(w.saw)
	case "seen":
		return w.sawAll(q), nil
	case "claim":
		return w.claim(q)
	case "hold":
		return w.hold(q)
	case "drop":
		w.drop()
		return Reply{}, nil
	case "list":
		return w.list(q, w.client.List)
	case "entries":
		return w.list(q, w.client.Entries)
	case "profile":
		return Reply{}, w.profile(q.Name)
	}
	return Reply{}, fmt.Errorf("no such order: %q", q.Op)
}

// needsClient reports whether an order is one to the dialled client.
func needsClient(op string) bool {
	switch op {
	case "serve", "rtt", "conc", "open", "bulk", "first", "stall", "watch", "claim", "list", "entries":
		return true
	}
	return false
}

// profile begins a CPU profile in a file; with an empty name it ends it.
func (w *worker) profile(name string) error {
	if name == "" {
		if w.prof == nil {
			return nil
		}
		pprof.StopCPUProfile()
		f := w.prof
		w.prof = nil
		return f.Close()
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w.prof = f
	return pprof.StartCPUProfile(f)
}
