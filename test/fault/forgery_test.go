//go:build fault

package fault_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
)

// F42: whatever a caller says of itself, the callee is told what the server
// knows.
func TestF42Forgeries(t *testing.T) {
	_, p := startDaemon(t)
	callee := p.client(t, "unix")
	_, err := callee.Claim(within(t, 10*time.Second), "org.example.callee", client.ClaimOptions{})
	must(t, err)
	victim := p.client(t, "unix") // whose place the caller wants to take
	_, err = victim.Claim(within(t, 10*time.Second), "org.example.victim", client.ClaimOptions{})
	must(t, err)
	who, err := victim.WhoAmI(within(t, 10*time.Second))
	must(t, err)

	key := shs.GenerateKey()
	plugin := mux.Client(p.login(t, p.dial(t, "unix"), shs.GenerateKey()), mux.Config{})
	defer plugin.Close()
	lane, err := plugin.Open(t.Context())
	must(t, err)
	send(t, lane, 0x02, 1, `{"name":["names","claim"],"args":[{"name":"org.example.plugin"}]}`)
	receive(t, lane)
	caller := mux.Client(p.login(t, p.dial(t, "unix"), key), mux.Config{})
	defer caller.Close()
	lane, err = caller.Open(t.Context())
	must(t, err)
	send(t, lane, 0x02, 1, `{"name":["whoami"],"args":[]}`)
	var me control.WhoAmI
	must(t, json.Unmarshal(receive(t, lane).Body, &me))

	peer := fmt.Sprintf(`{"id":%q,"session":%q,"names":["org.example.victim"],"level":"verified","tenant":"other"}`, who.ID, who.Session)
	forged := fmt.Sprintf(`"peer":%s,"Peer":%s,"from":%q,"id":%q,"session":%q,"names":["org.example.victim"],"name":"org.example.victim",`+
		`"level":"verified","tenant":"other","channel":"00000000000000000000000000000000","token":"00000000000000000000000000000000","To":"org.example.callee","epoch_":1`,
		peer, peer, who.ID, who.ID, who.Session)
	metas := []string{`{` + forged + `}`, peer, `"x"`, `null`}
	for _, meta := range metas {
		checkOffer(t, caller, plugin, meta, forged, fmt.Sprintf("{%v %s [] trusted }", key.Public(), me.Session))
	}
	report(t, "F42", "%d offers with forged id, session, names, level, tenant, token and channel: the callee saw the proven ones", len(metas))
}

// checkOffer opens a channel with forged fields, and looks at all that the callee
// is told.
func checkOffer(t *testing.T, caller, plugin *mux.Session, meta, forged, want string) {
	t.Helper()
	lane, err := caller.Open(t.Context())
	must(t, err)
	defer lane.Close()
	send(t, lane, 0x0a, 1, `{"name":["connect"],"args":[{"to":"org.example.plugin","meta":`+meta+`,`+forged+`}],"type":"duplex"}`)
	offer, err := plugin.Accept(within(t, 10*time.Second))
	must(t, err)
	defer offer.Close()
	var req struct{ Args []json.RawMessage }
	must(t, json.Unmarshal(receive(t, offer).Body, &req))
	var fields map[string]json.RawMessage
	must(t, json.Unmarshal(req.Args[0], &fields))
	var got control.OfferArgs
	must(t, control.Decode(req.Args, &got))
	if fmt.Sprint(got.Peer) != want || got.Name != "org.example.plugin" || got.Token != "" || strings.Trim(got.Channel, "0") == "" {
		t.Errorf("the callee was told %s, want the peer %s", req.Args[0], want)
	}
	if string(got.Meta) != meta && meta != "null" {
		t.Errorf("meta is %s, want %s as it was sent", got.Meta, meta)
	}
	for field := range fields {
		if !strings.Contains(" channel name epoch peer meta ", " "+field+" ") {
			t.Errorf("the offer has a field %q, which the server does not stamp: %s", field, fields[field])
		}
	}
	send(t, offer, 0x0a, -1, `{}`)
	if res := receive(t, lane); res.Flags != 0x0a {
		t.Errorf("connect: got %s", res.Body)
	}
}
