package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// Bounds of a feed.
const (
	feedBytes   = 8 << 20         // of events that wait for the loop body
	feedOverage = 128             // charged for each beside its text
	feedPause   = 5 * time.Second // how long a full feed waits; the server ends a session that takes nothing for 10 s
)

// errSlow ends a feed whose reader fell too far behind.
var errSlow = errors.New("client: the watch fell too far behind")

// feed is a names.watch, or another source, on a lane of its own, read packet by packet: muxrpc
// has no flow control, but the lane does, so a long snapshot comes as fast as
// it is taken. A goroutine of the session keeps reading while the loop body is
// busy, since a peer that takes nothing for long is dropped.
type feed struct {
	// set at construction
	lane channel.Lane
	done chan struct{} // closed when the goroutine has ended
	quit chan struct{} // closed by close
	once sync.Once
	stop func() bool
	wake chan struct{} // a token: something to take, or the end
	room chan struct{} // a token: something was taken

	// guarded by mu
	mu    sync.Mutex
	items [][]byte
	bytes int
	err   error
}

// feed begins a watch.
func (s *session) feed(ctx context.Context, args control.WatchArgs) (*feed, error) {
	return s.source(ctx, control.MethodWatch, args)
}

// source calls a source of the server.
func (s *session) source(ctx context.Context, method string, args any) (*feed, error) {
	lane, err := s.openLane(ctx)
	if err != nil {
		return nil, err
	}
	err = sendRequest(lane, method, "source", args)
	if err == nil {
		err = lane.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		lane.Abort()
		return nil, err
	}
	f := &feed{
		lane: lane,
		done: make(chan struct{}),
		quit: make(chan struct{}),
		wake: make(chan struct{}, 1),
		room: make(chan struct{}, 1),
		// A connection of its own would not notice the session's end.
		stop: context.AfterFunc(s.ctx, func() { lane.Abort() }),
	}
	if !s.spawn(f.run) {
		f.stop()
		lane.Abort()
		return nil, ErrNotConnected
	}
	return f, nil
}

// close ends the watch at the server, and waits for the goroutine.
func (f *feed) close() {
	f.once.Do(func() {
		close(f.quit)
		if f.stop() {
			f.lane.Close()
		}
	})
	<-f.done
}

// next waits for an event, or returns what ended the feed.
func (f *feed) next(ctx context.Context) (Event, error) {
	item, err := f.item(ctx)
	if err != nil {
		return Event{}, err
	}
	return event(item)
}

// item waits for an item, or returns what ended the feed: io.EOF if the server did
// in order.
func (f *feed) item(ctx context.Context) ([]byte, error) {
	for {
		f.mu.Lock()
		var item []byte
		err := f.err
		if len(f.items) > 0 {
			item = f.items[0]
			f.items[0] = nil
			f.items = f.items[1:]
			f.bytes -= len(item) + feedOverage
		}
		f.mu.Unlock()
		if item != nil {
			poke(f.room)
			return item, nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// run reads until the lane ends or the reader is too slow.
func (f *feed) run() {
	defer close(f.done)
	for {
		item, err := f.read()
		if err == nil && !f.push(item) {
			err = errSlow
			f.lane.Abort()
		}
		if err != nil {
			f.mu.Lock()
			f.err = err
			f.mu.Unlock()
			poke(f.wake)
			return
		}
	}
}

// read returns the next item's body. The END of the source is io.EOF, or an
// *Error.
func (f *feed) read() ([]byte, error) {
	for {
		p, err := muxrpc.ReadPacket(f.lane, control.MaxPeerBody)
		switch {
		case err != nil:
			return nil, err
		case p.IsGoodbye():
			return nil, io.EOF
		case p.Req != -1 || p.Flags&muxrpc.FlagStream == 0 || len(p.Body) == 0:
			continue // nothing we asked for
		case p.Flags&muxrpc.FlagEnd == 0:
			return p.Body, nil
		case string(p.Body) == "true":
			return nil, io.EOF
		}
		return nil, endError(p.Body)
	}
}

// push queues an item. It waits for room, but not for long.
func (f *feed) push(item []byte) bool {
	var late <-chan time.Time
	for {
		f.mu.Lock()
		fits := len(f.items) == 0 || f.bytes+len(item)+feedOverage <= feedBytes
		if fits {
			f.items = append(f.items, item)
			f.bytes += len(item) + feedOverage
		}
		f.mu.Unlock()
		if fits {
			poke(f.wake)
			return true
		}
		if late == nil {
			t := time.NewTimer(feedPause)
			defer t.Stop()
			late = t.C
		}
		select {
		case <-f.room:
		case <-late:
			return false
		case <-f.quit:
			return false
		}
	}
}

// poke leaves a token.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
