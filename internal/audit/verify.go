package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// Report is what Verify found.
//
// A chain shows every change but one: records cut off at its end, with all that
// follow. Nothing in the files says that there was more. A cut is found back to the
// last head that somebody holds elsewhere and gives to Verify; the Unsigned records
// after the last head could also have been rewritten by anybody who can write the
// files, and those before it by who has the server's key besides.
type Report struct {
	Files       int
	Records     uint64 // read and found good
	First, Last uint64 // their numbers
	Heads       int    // signed heads among them
	Head        Head   // the last of these
	Signed      bool   // the heads' signatures were checked
	Unsigned    uint64 // records after Head
	Gaps        int    // gap records: the file could not be written for a while, or was cut after a crash
	Missing     uint64 // records that they declare missing
	Fault       *Fault // the first thing that is wrong; nil if nothing is
	Torn        bool   // Fault is a last line without its end: that of a log in use may be half written, so look again
}

// Verify reads all files of the log in dir, which may be in use. verify checks the
// signature of a head's Message; nil leaves signatures unchecked. held are heads
// that were kept elsewhere.
//
// What is wrong with the log is in the report's Fault. The error says that it could
// not be read, or that there is none.
func Verify(dir string, verify func(msg, sig []byte) bool, held ...Head) (Report, error) {
	return verifyIn(osFiles{}, dir, verify, held)
}

func verifyIn(files files, dir string, verify func(msg, sig []byte) bool, held []Head) (r Report, err error) {
	for range 3 { // rotation may take a file away under our eyes
		r, err = verifyOnce(files, dir, checker{verify: verify, held: held})
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return r, err
}

func verifyOnce(files files, dir string, c checker) (r Report, err error) {
	names, err := logNames(files, dir)
	if err != nil {
		return r, err
	}
	if len(names) == 0 {
		return r, fmt.Errorf("audit: no log in %s: %w", dir, errNoLog)
	}
	for i, name := range names {
		r.Files++
		torn, err := c.file(files, dir, name, i == len(names)-1, &r)
		if err != nil {
			return r, err
		}
		if r.Torn = torn; r.Fault != nil {
			break
		}
	}
	if r.Fault == nil {
		r.Fault = c.end()
		if r.Fault != nil {
			r.Fault.File, r.Fault.Line = names[len(names)-1], 0
		}
	}
	r.First, r.Last, r.Heads, r.Signed = c.first, c.seq, c.heads, c.verify != nil
	r.Gaps, r.Missing, r.Unsigned = c.gaps, c.missing, uint64(c.unsigned)
	if c.heads > 0 {
		r.Head = c.head
	}
	return r, nil
}

var errNoLog = errors.New("no such files")

// file reads one file of the log; it reports whether its last line has no end.
func (c *checker) file(files files, dir, name string, last bool, r *Report) (torn bool, err error) {
	f, err := files.read(filepath.Join(dir, name))
	if err != nil {
		return false, err
	}
	defer f.Close()
	if !c.started { // older files are gone
		c.seq = firstOf(name) - 1
	} else if first := firstOf(name); first != c.seq+1 {
		r.Fault = c.fault(min(first, c.seq+1), "one file ends with record %d, the next begins with %d", c.seq, first)
		r.Fault.File = name
		return false, nil
	}
	in := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		text, err := in.ReadSlice('\n')
		var fault *Fault
		switch {
		case errors.Is(err, io.EOF) && len(text) == 0 && (n > 1 || last):
			return torn, nil // a crash may leave the last file empty
		case errors.Is(err, io.EOF) && len(text) == 0:
			fault = c.fault(c.seq+1, "the file is empty")
		case errors.Is(err, io.EOF):
			fault, torn = c.fault(c.seq+1, "the line has no end"), last
		case errors.Is(err, bufio.ErrBufferFull):
			fault = c.fault(c.seq+1, "the line is longer than %d bytes", MaxLine)
		case err != nil:
			return false, err
		default:
			fault = c.line(bytes.TrimSuffix(text, []byte{'\n'}))
		}
		if fault != nil {
			fault.File, fault.Line, r.Fault = name, n, fault
			return torn, nil
		}
		r.Records++
	}
}
