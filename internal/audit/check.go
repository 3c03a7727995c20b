package audit

import (
	"crypto/sha256"
	"fmt"
)

// Fault is the first thing wrong with a log: Seq is the first record that is bad or
// missing, or cannot be vouched for.
type Fault struct {
	Seq    uint64
	File   string // its name within the directory
	Line   int    // from 1
	Reason string
}

// Error says all of it.
func (f *Fault) Error() string {
	return fmt.Sprintf("audit: record %d: %s (%s, line %d)", f.Seq, f.Reason, f.File, f.Line)
}

// checker follows a chain line by line. It is a value: a copy of it goes on from the
// same place.
type checker struct {
	verify  func(msg, sig []byte) bool // nil: signatures are not looked at
	held    []Head
	started bool
	first   uint64 // first record
	chain          // the last record, its line, how many are not signed
	kept    uint64 // the oldest record that must be there, by the last record of rotation
	head    Head   // the last one
	heads   int
	gaps    int
	missing uint64 // records that gap records declare
}

func (c *checker) fault(seq uint64, format string, args ...any) *Fault {
	return &Fault{Seq: seq, Reason: fmt.Sprintf(format, args...)}
}

// line takes the next line, without its line end.
func (c *checker) line(text []byte) *Fault {
	next := c.seq + 1
	r, err := ParseRecord(text)
	if err != nil {
		return c.fault(next, "%v", err)
	}
	switch {
	case !c.started:
		if f := c.begin(&r); f != nil {
			return f
		}
	case r.Prev != c.hash && r.Seq == next:
		return c.fault(c.seq, "record %d does not follow from it: one of the two was changed", r.Seq)
	case r.Seq != next && !(r.Prev == c.hash && r.hole(next)):
		return c.fault(next, "record %d stands in its place", r.Seq)
	}
	c.started = true
	c.seq, c.hash, c.unsigned = r.Seq, sha256.Sum256(text), c.unsigned+1
	for _, h := range c.held {
		if h.Seq >= next && h.Seq <= r.Seq && (h.Seq < r.Seq || h.Hash != c.hash) {
			return c.fault(h.Seq, "a head that is held says otherwise: it, or a record before it, was changed")
		}
	}
	return c.meaning(&r)
}

// begin takes the first record.
func (c *checker) begin(r *Record) *Fault {
	c.first = r.Seq
	if r.Seq != c.seq+1 || r.Seq == 1 && r.Prev != (Hash{}) {
		return c.fault(c.seq+1, "record %d stands in its place, or it follows another", r.Seq)
	}
	c.head.Seq = r.Seq - 1 // what was before is not to be signed here
	return nil
}

// hole reports whether r is the gap record that declares all of next to its own
// number missing.
func (r *Record) hole(next uint64) bool {
	return r.Event.Event == EventGap && r.Seq > next && r.attrNumber(attrFrom) == next &&
		r.attrNumber(attrTo) == r.Seq-1 && r.N == r.Seq-next
}

// meaning looks at what a record says about the log itself.
func (c *checker) meaning(r *Record) *Fault {
	switch r.Event.Event {
	case EventGap:
		c.gaps++
		if r.Attrs[attrFrom] != "" {
			c.missing += r.N
		}
	case EventRotate:
		c.kept = r.attrNumber(attrFirst)
	case EventHead:
		h, ok := HeadOf(*r)
		if !ok || c.verify != nil && !c.verify(h.Message(), h.Sig) {
			return c.fault(c.head.Seq+1, "the head in record %d is not the server's: nothing after the head before it is vouched for", r.Seq)
		}
		c.head, c.heads, c.unsigned = h, c.heads+1, 0
	}
	if c.verify != nil && c.unsigned > headEvery {
		return c.fault(c.head.Seq+1, "no head signs it, or any of the %d records from there on", headEvery)
	}
	return nil
}

// end is after the last line.
func (c *checker) end() *Fault {
	for _, h := range c.held {
		if h.Seq > c.seq {
			return c.fault(c.seq+1, "records were cut off: a head that is held signs record %d", h.Seq)
		}
	}
	if c.started && c.first > max(c.kept, 1) {
		return c.fault(max(c.kept, 1), "it is missing, and was not removed by rotation")
	}
	return nil
}
