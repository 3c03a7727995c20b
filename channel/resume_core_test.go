package channel

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

// TestFrames: what is no frame.
func TestFrames(t *testing.T) {
	for _, tt := range []struct {
		f  frame
		ok bool
	}{
		{frame{frameData, 0, 1}, true},
		{frame{frameData, math.MaxUint64, frameBody}, true}, // the core refuses it
		{frame{frameData, 0, 0}, false},
		{frame{frameData, 0, frameBody + 1}, false},
		{frame{frameAck, 7, MaxWindow}, true},
		{frame{frameAck, 7, MaxWindow + 1}, false},
		{frame{frameFin, 7, 0}, true},
		{frame{frameFin, 7, 1}, false},
		{frame{framePing, 0, 0}, true},
		{frame{framePing, 1, 0}, false},
		{frame{framePong, 0, 1}, false},
		{frame{frameReset, 0, 0}, true},
		{frame{frameReset, 1, 0}, false},
		{frame{0, 0, 0}, false},
		{frame{frameReset + 1, 0, 0}, false},
	} {
		b := tt.f.append(nil)
		got, err := parseFrame(b)
		if len(b) != frameHead || got != tt.f || (err == nil) != tt.ok {
			t.Errorf("%+v: read %+v, %v", tt.f, got, err)
		}
	}
}

// TestCoreRefuses: offsets and acknowledgements that an honest end cannot send
// end the channel.
func TestCoreRefuses(t *testing.T) {
	const w = MinWindow
	data := func(off uint64, n int) step { return step{frame{frameData, off, uint32(n)}, n} }
	of := func(kind frameType, off uint64, n uint32) step { return step{frame{kind, off, n}, 0} }
	for _, tt := range []struct {
		name  string
		steps []step
		ok    bool
	}{
		{"data", []step{data(0, 10), data(10, 10)}, true},
		{"data again", []step{data(0, 10), data(5, 10), data(0, 15)}, true},
		{"data up to the limit", []step{data(w-10, 10)}, true},
		{"data beyond the limit", []step{data(w-9, 10)}, false},
		{"data at the end of numbers", []step{data(math.MaxUint64-4, 10)}, false},
		{"data and its end", []step{data(0, 10), of(frameFin, 10, 0)}, true},
		{"the end first", []step{of(frameFin, 10, 0), data(0, 10)}, true},
		{"the end twice", []step{of(frameFin, 10, 0), of(frameFin, 10, 0)}, true},
		{"two ends", []step{of(frameFin, 10, 0), of(frameFin, 11, 0)}, false},
		{"data behind the end", []step{of(frameFin, 10, 0), data(0, 11)}, false},
		{"an end before data", []step{data(20, 10), of(frameFin, 25, 0)}, false},
		{"an end beyond the limit", []step{of(frameFin, w+1, 0)}, false},
		{"an ack of what was sent", []step{of(frameAck, 100, w)}, true},
		{"an ack of part of it", []step{of(frameAck, 50, w), of(frameAck, 20, 10)}, true},
		{"an ack of what was written, not sent", []step{of(frameAck, 101, w)}, false},
		{"an ack of all numbers", []step{of(frameAck, math.MaxUint64, 0)}, false},
		{"an ack with a window that is none", []step{of(frameAck, 100, w+1)}, false},
	} {
		c, p := newResumeCore(w), &resumePath{link: true}
		c.add(p)
		c.write(make([]byte, 100))
		c.next(p, nil)
		c.write(make([]byte, 100))
		var err error
		for _, s := range tt.steps {
			if _, e := c.take(p, s.f, make([]byte, s.n)); e != nil {
				err = errors.Join(err, e)
			}
		}
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

type step struct {
	f frame
	n int
}

// TestCoreGaps: an end that sends every other byte does not get to keep them.
func TestCoreGaps(t *testing.T) {
	c, p := newResumeCore(MinWindow), &resumePath{}
	c.add(p)
	for off := uint64(1); ; off += 2 {
		if _, err := c.take(p, frame{frameData, off, 1}, []byte{1}); err != nil {
			break
		}
		if off > 3*maxParts {
			t.Fatal("it does")
		}
	}
}

// TestCorePaths: which path carries what.
func TestCorePaths(t *testing.T) {
	c := newResumeCore(MinWindow)
	lane, link, newer := &resumePath{mute: true}, &resumePath{link: true}, &resumePath{link: true}
	c.add(lane)
	if c.write([]byte("abc")); c.due(lane) || c.active() != nil {
		t.Error("a mute path speaks")
	}
	c.add(link)
	want := frame{frameData, 0, 3}.append(nil)
	if got := c.next(link, nil); !bytes.Equal(got, append(want, "abc"...)) {
		t.Errorf("the link has %x", got)
	}
	c.take(lane, frame{kind: framePong}, nil)
	if c.due(lane) || c.due(link) {
		t.Error("there is more to send")
	}
	c.add(newer)
	if c.active() != newer {
		t.Error("the newer link is not the better")
	}
	c.dead(newer)
	if c.active() != link || c.out.nxt != 3 {
		t.Error("a path that has carried nothing has something sent again")
	}
	c.dead(link)
	got := c.next(lane, nil)
	want = append(frame{kind: framePing}.append(nil), frame{frameAck, 0, MinWindow}.append(nil)...)
	want = append(frame{frameData, 0, 3}.append(want), "abc"...)
	if !bytes.Equal(got, want) {
		t.Errorf("the lane has %x, want %x", got, want)
	}
}
