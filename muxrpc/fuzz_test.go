package muxrpc_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// FuzzSession: whatever bytes come, nothing panics, no answer is empty or answers an answer, and the session ends when they do.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"bye", "", "02 1 {\"name\":\"echo\",\"args\":[1]}\nbye", "0e 1 true\n0e -1 true",
		"0a 1 {\"name\":[\"hang\"],\"args\":[],\"type\":\"source\"}\n0e 1 true\nbye",
		"0a 1 {\"name\":[\"echo\"],\"args\":[],\"type\":\"duplex\"}\n0a 1 1\n08 1\n0e 1 {}",
		"0a 1 {\"name\":[\"sum\"],\"args\":[],\"type\":\"sink\"}\n0a 1 1\n0e 1 true\n02 2 {\"name\":\"wait\",\"args\":[]}",
		"0a -1 1\n0e -1 true\n0a -2 1\n0e -3 {\"name\":\"x\"}\n02 -4 1",
	} {
		f.Add(raw(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe(1 << 20)
			limit := muxrpc.NewLimit(8)
			s := muxrpc.NewSession(tryConn{b}, muxrpc.Config{Handler: muxrpc.HandlerFunc(func(c *muxrpc.Call) {
				if c.Name() == "echo" && c.Type() == "async" && len(c.Args()) == 0 {
					c.Reply(nil)
					return
				}
				serveTest(c)
			}), Limit: limit})
			for _, typ := range []string{"source", "sink", "duplex"} {
				if st, err := s.Open(t.Context(), typ, "own", nil); err == nil {
					go all(t.Context(), st)
				}
			}
			go s.Call(t.Context(), "own", nil, nil)
			synctest.Wait()
			a.Write(in)
			a.CloseWrite()
			out, _ := a.taken(t)
			s.Close() // a call of "wait" is never answered
			<-s.Done()
			if n := limit.InUse(); n != 0 {
				t.Fatalf("%d calls still in flight", n)
			}
			checkOutput(t, out)
		})
	})
}

// checkOutput fails unless out is whole packets that no peer could object to.
func checkOutput(t *testing.T, out []byte) {
	ended := make(map[int32]bool)
	for r := bytes.NewReader(out); r.Len() > 0; {
		p, err := muxrpc.ReadPacket(r, 1<<20)
		if err != nil {
			return // cut by Close
		}
		if len(p.Body) == 0 && !p.IsGoodbye() {
			t.Fatalf("sent an empty body: %+v", p)
		}
		if p.Flags&3 == muxrpc.FlagJSON && len(p.Body) > 0 && !json.Valid(p.Body) {
			t.Fatalf("sent %q as JSON", p.Body)
		}
		if p.Req > 4 {
			t.Fatalf("sent request %d", p.Req)
		}
		if p.Req > 0 && ended[p.Req] {
			t.Fatalf("sent on %d after its END", p.Req)
		}
		ended[p.Req] = p.Flags&muxrpc.FlagEnd != 0
	}
}
