package control

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"

	"github.com/cad2f06c/switchboard/internal/quickjson"
	"github.com/cad2f06c/switchboard/shs"
)

// quick reads what opens, answers and ends a channel in one pass, if it has
// the usual form: no unknown field, none twice, no escapes, no null. Else it
// reports false and leaves v as it was; the general way decides then.
func quick(raw []byte, v any) bool {
	r := quickjson.NewReader(raw)
	switch v := v.(type) {
	case *ConnectArgs:
		return keep(&r, v, readConnect(&r))
	case *ConnectResult:
		return keep(&r, v, readConnected(&r))
	case *OfferArgs:
		return keep(&r, v, readOffer(&r))
	case *AcceptArgs:
		channel, token := readTexts(&r, "token")
		return keep(&r, v, AcceptArgs{Channel: channel, Token: token})
	case *AcceptResult:
		channel, _ := readTexts(&r, "")
		return keep(&r, v, AcceptResult{Channel: channel})
	case *ChannelCloseArgs:
		channel, reason := readTexts(&r, "reason")
		return keep(&r, v, ChannelCloseArgs{Channel: channel, Reason: reason})
	}
	return false
}

// keep stores what was read if all of the text was taken.
func keep[T any](r *quickjson.Reader, to *T, got T) bool {
	if !r.OK() {
		return false
	}
	*to = got
	return true
}

// met is the numbers of the fields that an object has had.
type met uint16

// once gives up at a field that comes again.
func (m *met) once(r *quickjson.Reader, field int) {
	bit := met(1) << field
	if *m&bit != 0 {
		r.Fail()
	}
	*m |= bit
}

func readConnect(r *quickjson.Reader) (a ConnectArgs) {
	var had met
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "to":
			had.once(r, 0)
			a.To = string(r.Text())
		case "key":
			had.once(r, 1)
			key := readKey(r)
			a.Key = &key
		case "epoch":
			had.once(r, 2)
			epoch := r.Uint()
			a.Epoch = &epoch
		case "meta":
			had.once(r, 3)
			a.Meta = readRaw(r)
		case "require":
			had.once(r, 4)
			a.Require = r.Bool()
		case "sealed":
			had.once(r, 5)
			a.Sealed = r.Bool()
		case "timeout_ms":
			had.once(r, 6)
			ms := r.Uint()
			if ms > math.MaxInt64 {
				r.Fail()
			}
			timeout := int64(ms)
			a.TimeoutMS = &timeout
		case "direct":
			had.once(r, 7)
			a.Direct = readKinds(r)
		case "resume":
			had.once(r, 8)
			a.Resume = readInt(r)
		default:
			r.Fail()
		}
	}
	return a
}

func readConnected(r *quickjson.Reader) (a ConnectResult) {
	var had met
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "channel":
			had.once(r, 0)
			a.Channel = string(r.Text())
		case "peer":
			had.once(r, 1)
			a.Peer = readCallee(r)
		case "sealed":
			had.once(r, 2)
			a.Sealed = r.Bool()
		default: // direct too: who asked for it has time
			r.Fail()
		}
	}
	return a
}

func readCallee(r *quickjson.Reader) (c Callee) {
	var had met
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "id":
			had.once(r, 0)
			c.ID = readKey(r)
		case "name":
			had.once(r, 1)
			c.Name = string(r.Text())
		case "session":
			had.once(r, 2)
			c.Session = string(r.Text())
		case "epoch":
			had.once(r, 3)
			c.Epoch = r.Uint()
		default:
			r.Fail()
		}
	}
	return c
}

func readOffer(r *quickjson.Reader) (a OfferArgs) {
	var had met
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "channel":
			had.once(r, 0)
			a.Channel = string(r.Text())
		case "token":
			had.once(r, 1)
			a.Token = string(r.Text())
		case "name":
			had.once(r, 2)
			a.Name = string(r.Text())
		case "epoch":
			had.once(r, 3)
			a.Epoch = r.Uint()
		case "peer":
			had.once(r, 4)
			a.Peer = readCaller(r)
		case "meta":
			had.once(r, 5)
			a.Meta = readRaw(r)
		case "require":
			had.once(r, 6)
			a.Require = r.Bool()
		case "sealed":
			had.once(r, 7)
			a.Sealed = r.Bool()
		default: // direct too, as above
			r.Fail()
		}
	}
	return a
}

func readCaller(r *quickjson.Reader) (c Caller) {
	var had met
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "id":
			had.once(r, 0)
			c.ID = readKey(r)
		case "session":
			had.once(r, 1)
			c.Session = string(r.Text())
		case "names":
			had.once(r, 2)
			c.Names = []string{}
			for r.Enter('['); r.More(']'); {
				c.Names = append(c.Names, string(r.Text()))
			}
		case "level":
			had.once(r, 3)
			c.Level = string(r.Text())
		case "tenant":
			had.once(r, 4)
			c.Tenant = string(r.Text())
		default:
			r.Fail()
		}
	}
	return c
}

// readKinds reads a list of kinds.
func readKinds(r *quickjson.Reader) []string {
	kinds := []string{}
	for r.Enter('['); r.More(']'); {
		kinds = append(kinds, string(r.Text()))
	}
	return kinds
}

// readTexts reads an object of a channel and at most one other text.
func readTexts(r *quickjson.Reader, name string) (channel, other string) {
	var had met
	for r.Enter('{'); r.More('}'); {
		switch field := r.Name(); {
		case string(field) == "channel":
			had.once(r, 0)
			channel = string(r.Text())
		case name != "" && string(field) == name:
			had.once(r, 1)
			other = string(r.Text())
		default:
			r.Fail()
		}
	}
	return channel, other
}

// readKey reads a key as shs.ParsePublicKey does. What is wrong with any other
// text the general way says.
func readKey(r *quickjson.Reader) (key shs.PublicKey) {
	const sigil, size, suffix = "@", 44, ".ed25519"
	text := r.Text()
	if len(text) == len(sigil)+size+len(suffix) && string(text[:len(sigil)]) == sigil && string(text[len(sigil)+size:]) == suffix {
		var b [size / 4 * 3]byte // no line ends, which the decoder would skip, are in a Text
		n, err := base64.StdEncoding.Strict().Decode(b[:], text[len(sigil):len(sigil)+size])
		if err == nil && n == len(key) {
			return shs.PublicKey(b[:n])
		}
	}
	r.Fail()
	return key
}

// readRaw copies any value.
func readRaw(r *quickjson.Reader) json.RawMessage { return bytes.Clone(r.Skip()) }
