package control

import (
	"bytes"

	"github.com/cad2f06c/switchboard/internal/quickjson"
)

// ReadJSON reads a page of a list in one pass, if it has the usual form, and
// reports whether it has: no unknown field, none twice, no escapes, no null.
func (l *ListResult) ReadJSON(text []byte) bool {
	r := quickjson.NewReader(text)
	var had met
	page := ListResult{}
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "rev":
			had.once(&r, 0)
			page.Rev = r.Uint()
		case "names":
			had.once(&r, 1)
			page.Names = make([]Entry, 0, bytes.Count(text, []byte(`"name":`))) // else append copies each several times
			for r.Enter('['); r.More(']'); {
				page.Names = append(page.Names, readEntry(&r))
			}
		case "more":
			had.once(&r, 2)
			page.More = r.Bool()
		default:
			r.Fail()
		}
	}
	return keep(&r, l, page)
}

// readEntry reads an Entry; since and waiters are not negative in the usual
// form.
func readEntry(r *quickjson.Reader) (e Entry) {
	var had met
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "name":
			had.once(r, 0)
			e.Name = string(r.Text())
		case "id":
			had.once(r, 1)
			e.ID = readKey(r)
		case "session":
			had.once(r, 2)
			e.Session = string(r.Text())
		case "since":
			had.once(r, 3)
			e.Since = readInt(r)
		case "epoch":
			had.once(r, 4)
			e.Epoch = r.Uint()
		case "info":
			had.once(r, 5)
			e.Info = readRaw(r)
		case "transport":
			had.once(r, 6)
			e.Transport = readTransport(r)
		case "waiters":
			had.once(r, 7)
			n := readInt(r)
			if e.Waiters = int(n); int64(e.Waiters) != n {
				r.Fail()
			}
		default:
			r.Fail()
		}
	}
	return e
}

// readInt reads a number that fits an int64 and has no sign.
func readInt(r *quickjson.Reader) int64 {
	n := r.Uint()
	if n > 1<<63-1 {
		r.Fail()
	}
	return int64(n)
}

// readTransport makes no new string for the transports that there are.
func readTransport(r *quickjson.Reader) string {
	switch t := r.Text(); string(t) {
	case "unix":
		return "unix"
	case "net":
		return "net"
	default:
		return string(t)
	}
}
