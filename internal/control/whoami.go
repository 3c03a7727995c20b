package control

import "github.com/cad2f06c/switchboard/internal/quickjson"

// ReadJSON reads the greeting in one pass, if it has the usual form, and reports
// whether it has: no unknown field, none twice, no escapes, no null.
func (w *WhoAmI) ReadJSON(text []byte) bool {
	r := quickjson.NewReader(text)
	var had met
	var me WhoAmI
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "id":
			had.once(&r, 0)
			me.ID = readKey(&r)
		case "session":
			had.once(&r, 1)
			me.Session = string(r.Text())
		case "names":
			had.once(&r, 2)
			me.Names = []string{}
			for r.Enter('['); r.More(']'); {
				me.Names = append(me.Names, string(r.Text()))
			}
		case "level":
			had.once(&r, 3)
			me.Level = string(r.Text())
		case "tenant":
			had.once(&r, 5)
			me.Tenant = string(r.Text())
		case "server":
			had.once(&r, 4)
			me.Server = readServer(&r)
		default:
			r.Fail()
		}
	}
	return keep(&r, w, me)
}

func readServer(r *quickjson.Reader) (s ServerInfo) {
	var had met
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "id":
			had.once(r, 0)
			s.ID = readKey(r)
		case "version":
			had.once(r, 1)
			s.Version = string(r.Text())
		case "protocol":
			had.once(r, 2)
			s.Protocol = string(r.Text())
		case "started":
			had.once(r, 3)
			s.Started = readInt(r)
		case "lease_ms":
			had.once(r, 4)
			s.LeaseMS = readInt(r)
		case "spread_ms":
			had.once(r, 5)
			s.SpreadMS = readInt(r)
		default:
			r.Fail()
		}
	}
	return s
}
