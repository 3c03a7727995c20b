//go:build fault

package fault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/channel"
)

// side is what one end of a channel of TestIntegrity does: it writes Size bytes
// of a flow in pieces, and ends.
type side struct {
	Flow   flow
	Size   int64
	Piece  int // no write is longer
	Finish finish
}

// script is what both ends do, the caller first. The callee is told in Meta.
type script [2]side

// newScript makes one up. most is how much a direction may carry.
func newScript(r *rand.Rand, most int64) (s script) {
	for i := range s {
		s[i] = side{
			Flow:   flow(r.Uint64()),
			Size:   r.Int64N([]int64{10, 5000, most, most, most, most}[r.IntN(6)]),
			Piece:  1 + r.IntN([]int{1 << 10, 32 << 10, 128 << 10}[r.IntN(3)]),
			Finish: []finish{closeWrite, closeBoth, abort}[max(0, r.IntN(20)-17)],
		}
	}
	return s
}

// calm says that nobody tears the channel, or closes it before it has read all.
func (s script) calm() bool { return s[0].Finish == closeWrite && s[1].Finish == closeWrite }

// stuckAfter is how long an end may wait with no byte moving.
const stuckAfter = slow * 30 * time.Second

// played is what one end has seen.
type played struct {
	got    int64
	whole  bool   // it has read the end of file, behind everything
	cut    error  // it has not, or could not write everything
	faults string // what must never be; "" if all is well
}

// player is one end at work.
type player struct {
	conn    *channel.Conn
	out, in side
	moved   atomic.Int64 // bytes written and read so far
	closed  atomic.Bool  // by ourselves
	wrote   error
	got     int64
	read    error
}

// play does one end's part of a script, and returns when both directions are
// over. It ends the channel.
func play(conn *channel.Conn, out, in side) played {
	p := &player{conn: conn, out: out, in: in}
	var stuck atomic.Bool
	var last int64 = -1
	var watch *time.Timer
	var mu sync.Mutex // for watch, which its own function sets anew
	mu.Lock()
	watch = time.AfterFunc(stuckAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		if now := p.moved.Load(); now != last {
			last = now
			watch.Reset(stuckAfter)
			return
		}
		stuck.Store(true)
		conn.Abort()
	})
	mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(p.write)
	p.receive()
	wg.Wait()
	mu.Lock()
	watch.Stop()
	mu.Unlock()
	link := conn.Link()
	conn.Close()
	res := p.judge()
	if stuck.Load() {
		res.faults += fmt.Sprintf("; stuck for %v on link %q after %d of %d bytes read and %d written or read", stuckAfter, link, p.got, in.Size, last)
	}
	return res
}

func (p *player) write() {
	buf := make([]byte, p.out.Piece)
	for off := int64(0); off < p.out.Size; {
		part := buf[:min(int64(len(buf)), p.out.Size-off)]
		p.out.Flow.fill(part, off)
		n, err := p.conn.Write(part)
		off += int64(n)
		p.moved.Add(int64(n))
		if err == nil && n < len(part) {
			err = io.ErrShortWrite
		}
		if err != nil {
			p.wrote = err
			return
		}
	}
	p.closed.Store(p.out.Finish > closeWrite)
	switch p.out.Finish {
	case closeBoth:
		p.wrote = p.conn.Close()
	case abort:
		p.conn.Abort()
	default:
		p.wrote = p.conn.CloseWrite()
	}
}

func (p *player) receive() {
	buf, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(buf)
		p.in.Flow.fill(want[:n], p.got)
		if !bytes.Equal(buf[:n], want[:n]) {
			p.read = errAltered
			p.conn.Abort()
			return
		}
		p.got += int64(n)
		p.moved.Add(int64(n))
		if err != nil {
			if p.read = err; err != io.EOF {
				p.conn.Abort() // the writer, too
			}
			return
		}
	}
}

// judge says what the end has seen of the other's part.
func (p *player) judge() (res played) {
	res.got = p.got
	switch {
	case errors.Is(p.read, errAltered):
		res.faults = fmt.Sprintf("altered after %d bytes", p.got)
	case p.got > p.in.Size:
		res.faults = fmt.Sprintf("%d bytes came of %d", p.got, p.in.Size)
	case p.read == io.EOF && (p.got != p.in.Size || p.in.Finish == abort):
		res.faults = fmt.Sprintf("an end of file after %d of %d bytes, behind which the writer does %d", p.got, p.in.Size, p.in.Finish)
	case p.read == io.EOF:
		res.whole = true
	case !p.closed.Load():
		res.cut = p.read
	}
	if res.cut == nil && !p.closed.Load() {
		res.cut = p.wrote
	}
	return res
}
