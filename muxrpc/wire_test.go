package muxrpc_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// raw is the bytes of packets written one a line as "FLAGS REQUEST BODY", FLAGS in hex; "bye" is nine zeros.
func raw(t testing.TB, lines string) []byte {
	t.Helper()
	var b []byte
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if line == "bye" {
			b = append(b, make([]byte, 9)...)
			continue
		}
		var flags byte
		var req int32
		if _, err := fmt.Sscanf(line, "%x %d", &flags, &req); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		var body string
		if f := strings.SplitN(line, " ", 3); len(f) == 3 {
			body = f[2]
		}
		b = append(b, packet(flags, req, body)...)
	}
	return b
}

// packet is the bytes of one packet, by the table and not by our codec.
func packet(flags byte, req int32, body string) []byte {
	b := []byte{flags}
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(req))
	return append(b, body...)
}

// cooked is raw's inverse.
func cooked(b []byte) string {
	var s strings.Builder
	r := bytes.NewReader(b)
	for r.Len() > 0 {
		p, err := muxrpc.ReadPacket(r, 1<<20)
		switch {
		case err != nil:
			fmt.Fprintf(&s, "%v\n", err)
			return s.String()
		case p.IsGoodbye():
			s.WriteString("bye\n")
		default:
			fmt.Fprintf(&s, "%02x %d %s\n", p.Flags, p.Req, p.Body)
		}
	}
	return s.String()
}

// serveTest is the handler of these tests.
func serveTest(c *muxrpc.Call) {
	switch c.Name() + " " + c.Type() {
	case "manifest async":
		c.Reply(json.RawMessage(`{"whoami":"sync","ns":{"ping":"async"}}`))
	case "echo async":
		c.Reply(c.Args()[0])
	case "bytes async":
		c.Reply([]byte("raw"))
	case "wait async":
		c.Go(func() { <-c.Context().Done() })
	case "src source":
		c.Stream().Send("a")
		c.Stream().Send([]byte("b"))
		c.Stream().CloseSend(nil)
	case "hang source":
		c.Stream().Send(1)
		c.Go(func() {
			<-c.Context().Done()
			c.Stream().CloseSend(nil) // a second END, were it not for the session
		})
	case "sum sink":
		c.Go(func() { c.Stream().CloseSend(drain(c)) })
	case "echo duplex":
		c.Go(func() { c.Stream().CloseSend(echo(c)) })
	case "deaf duplex":
	default:
		c.Fail(&muxrpc.RemoteError{Name: "Error", Message: "no such method"})
	}
}

func drain(c *muxrpc.Call) error {
	for {
		if _, _, err := c.Stream().Recv(c.Context()); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func echo(c *muxrpc.Call) error {
	for {
		body, _, err := c.Stream().Recv(c.Context())
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if len(body) == 0 {
			body = []byte(`""`)
		}
		if err := c.Stream().Send(json.RawMessage(body)); err != nil {
			return err
		}
	}
}

// exchange is one raw peer against one session: what goes in, and exactly what must come out.
type exchange struct {
	name    string
	in, out string
	dropped uint64
	refused uint64
	late    bool   // one END may come after the stream is forgotten, and is dropped then
	end     string // of the session; "" if it lives
}

func (x exchange) run(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(1 << 20)
		limit := muxrpc.NewLimit(64)
		s := muxrpc.NewSession(tryConn{b}, muxrpc.Config{Handler: muxrpc.HandlerFunc(serveTest), Limit: limit})
		defer s.Close()
		if _, err := a.Write(raw(t, x.in)); err != nil {
			t.Fatal(err)
		}
		got, end := a.taken(t)
		if want := raw(t, x.out); !bytes.Equal(got, want) {
			t.Errorf("got\n%swant\n%s", cooked(got), cooked(want))
		}
		if st := s.Stats(); st.Dropped != x.dropped && (!x.late || st.Dropped != x.dropped+1) || st.Refused != x.refused {
			t.Errorf("got %+v, want %d dropped, %d refused", st, x.dropped, x.refused)
		}
		if x.end != "" {
			a.CloseWrite()
			<-s.Done()
			if got := fmt.Sprint(s.Err()); got != x.end {
				t.Errorf("session ended with %q, want %q", got, x.end)
			}
			if n := limit.InUse(); n != 0 {
				t.Errorf("%d calls still in flight", n)
			}
			return
		}
		if end != nil || s.Err() != nil {
			t.Fatalf("session ended: %v, %v", end, s.Err())
		}
		a.Write(raw(t, `02 99 {"name":"echo","args":["alive"]}`))
		got, _ = a.taken(t)
		if want := raw(t, `02 -99 "alive"`); !bytes.Equal(got, want) {
			t.Errorf("afterwards got\n%s", cooked(got))
		}
	})
}

// The odd-packet table, row by row, and its neighbours.
func TestOddPackets(t *testing.T) {
	const badArgs = `{"name":"bad_request","message":"args is not an array","stack":""}`
	const noJSON = `{"name":"bad_request","message":"request is not a JSON object","stack":""}`
	const noType = `{"name":"bad_request","message":"unknown type","stack":""}`
	const noMethod = `{"name":"Error","message":"no such method","stack":""}`
	for _, x := range []exchange{
		{name: "type sync", in: `02 1 {"name":["echo"],"args":[1],"type":"sync"}`, out: `02 -1 1`},
		{name: "END for an id never opened", in: "0e 5 true\n06 6 true\n0e -5 true\n06 -6 {}", dropped: 4},
		{name: "second END on one stream", in: `0a 1 {"name":["sum"],"args":[],"type":"sink"}
			08 1 x
			0e 1 true
			0e 1 true
			0e 1 true`, out: "0e -1 true", dropped: 2},
		{name: "second END on half a stream", in: `0a 1 {"name":["deaf"],"args":[],"type":"duplex"}
			0e 1 true
			0e 1 true`, dropped: 1},
		{name: "END that acknowledges our error", in: `02 1 {"name":["nix"],"args":[]}
			06 1 {"name":"x"}`, out: `06 -1 ` + noMethod, dropped: 1},
		{name: "END on a call in progress", in: `02 1 {"name":["wait"],"args":[]}
			06 1 true`, dropped: 1},
		{name: "reply to unknown id", in: "02 -1 {}\n0a -2 1\n01 -3 x\n02 -2147483648 {}", dropped: 4},
		{name: "request 0 with a body", in: "02 0 {}\n0e 0 true", dropped: 2},
		{name: "zero-length body as item", in: `0a 1 {"name":["echo"],"args":[],"type":"duplex"}
			0a 1 "x"
			08 1
			0a 1 "y"
			0e 1 true`, out: `0a -1 "x"
			0a -1 ""
			0a -1 "y"
			0e -1 true`},
		{name: "zero-length body as request", in: "02 1\n0a 2\n01 3\n00 4", out: `06 -1 ` + noJSON + `
			0e -2 ` + noJSON + `
			06 -3 {"name":"bad_request","message":"request body is not JSON","stack":""}
			06 -4 {"name":"bad_request","message":"request body is not JSON","stack":""}`, refused: 4},
		{name: "zero-length body as answer, END, request 0", in: "02 -1\n0e 1\n02 0", dropped: 3},
		{name: "zero-length END", in: `0a 1 {"name":["sum"],"args":[],"type":"sink"}
			0e 1`, out: `0e -1 true`},
		{name: "request not JSON", in: "02 1 {\n02 2 hello", out: `06 -1 {"name":"bad_request","message":"request: not JSON","stack":""}
			06 -2 ` + noJSON, refused: 2},
		{name: "request null", in: "02 1 null", out: `06 -1 ` + noJSON, refused: 1},
		{name: "args not an array", in: `02 1 {"name":"echo","args":{}}`, out: `06 -1 ` + badArgs, refused: 1},
		{name: "unknown stream type", in: `0a 1 {"name":["src"],"args":[],"type":"blub"}
			0e 1 true`, out: `0e -1 ` + noType, refused: 1, dropped: 1},
		{name: "unknown type without STREAM", in: `02 1 {"name":["src"],"args":[],"type":"blub"}`, out: `06 -1 ` + noType, refused: 1},
		{name: "async with STREAM", in: `0a 1 {"name":["echo"],"args":[1],"type":"async"}`,
			out: `0e -1 {"name":"bad_request","message":"the STREAM flag does not fit type async","stack":""}`, refused: 1},
		{name: "source without STREAM", in: `02 1 {"name":["src"],"args":[],"type":"source"}`,
			out: `06 -1 {"name":"bad_request","message":"the STREAM flag does not fit type source","stack":""}`, refused: 1},
		{name: "unknown method", in: `02 1 {"name":["nix"],"args":[]}`, out: `06 -1 ` + noMethod},
		{name: "unknown source", in: `0a 1 {"name":["nix"],"args":[],"type":"source"}
			0e 1 {"name":"Error"}`, out: `0e -1 ` + noMethod, dropped: 1},
		{name: "number of a call in use", in: `02 1 {"name":["wait"],"args":[]}
			02 1 {"name":["echo"],"args":[1]}
			0a 1 {"name":["src"],"args":[],"type":"source"}`, dropped: 2},
		{name: "number of a stream in use", in: `0a 1 {"name":["echo"],"args":[],"type":"duplex"}
			02 1 {"name":["echo"],"args":[1]}
			0a 1 "x"
			0e 1 true`, out: "0a -1 \"x\"\n0e -1 true", dropped: 1},
		{name: "number used again", in: `02 1 {"name":["echo"],"args":[1]}
			02 1 {"name":["echo"],"args":[2]}`, out: "02 -1 1\n02 -1 2"},
		{name: "items against the direction", in: `0a 1 {"name":["hang"],"args":[],"type":"source"}
			0a 1 "x"
			0e 1 true`, out: "0a -1 1\n0e -1 true", dropped: 1},
		{name: "items after END", in: `0a 1 {"name":["deaf"],"args":[],"type":"duplex"}
			0e 1 true
			0a 1 "x"`, dropped: 1},
		{name: "upper flags", in: `f2 1 {"name":["echo"],"args":[1]}`, out: "02 -1 1"},
		{name: "upper flags are no goodbye", in: "10 0", dropped: 1},
		{name: "body type 3", in: `03 1 {"name":["echo"],"args":[1]}`, out: `06 -1 {"name":"bad_request","message":"request body is not JSON","stack":""}`, refused: 1},
		{name: "goodbye", in: "bye", out: "bye", end: "EOF"},
		{name: "packets after the goodbye", in: "bye\n" + `02 1 {"name":["echo"],"args":[1]}` + "\nbye", out: "bye", dropped: 2, end: "EOF"},
	} {
		t.Run(x.name, x.run)
	}
}

// A caller that never answers an END uses nothing up: neither its calls in flight nor our books.
func TestSourceCallerWithoutEnd(t *testing.T) {
	var in, out strings.Builder
	for i := range 200 {
		fmt.Fprintf(&in, `0a %d {"name":["nix"],"args":[],"type":"source"}`+"\n", i+1)
		fmt.Fprintf(&out, `0e -%d {"name":"Error","message":"no such method","stack":""}`+"\n", i+1)
	}
	exchange{in: in.String(), out: out.String()}.run(t)
}

// What npm muxrpc 8 was seen to send as caller, and must get.
func TestCapturedCalls(t *testing.T) {
	for _, x := range []exchange{
		{name: "bootstrap", in: `02 1 {"name":"manifest","args":[]}`, out: `02 -1 {"whoami":"sync","ns":{"ping":"async"}}`},
		{name: "async", in: `02 1 {"name":["echo"],"args":["hi"]}`, out: `02 -1 "hi"`},
		{name: "bytes", in: `02 1 {"name":["bytes"],"args":[]}`, out: `00 -1 raw`},
		{name: "source", in: `0a 1 {"name":["src"],"args":[],"type":"source"}
			0e 1 true`, out: "0a -1 \"a\"\n08 -1 b\n0e -1 true", late: true},
		{name: "abort", in: `0a 1 {"name":["hang"],"args":[],"type":"source"}
			0e 1 true`, out: "0a -1 1\n0e -1 true"},
		{name: "abort with an error", in: `0a 1 {"name":["hang"],"args":[],"type":"source"}
			0e 1 {"message":"no","name":"Error","stack":"Error: no\n at /home"}`, out: "0a -1 1\n0e -1 true"},
		{name: "sink", in: `0a 1 {"name":["sum"],"args":[],"type":"sink"}
			0a 1 1
			0a 1 2
			0e 1 true`, out: "0e -1 true"},
		{name: "sink with an error", in: `0a 1 {"name":["sum"],"args":[],"type":"sink"}
			0e 1 {"message":"no","name":"Error","stack":""}`, out: "0e -1 true"},
		{name: "duplex", in: `0a 1 {"name":["echo"],"args":[],"type":"duplex"}
			0a 1 "x"
			0a 1 "y"
			0e 1 true`, out: "0a -1 \"x\"\n0a -1 \"y\"\n0e -1 true"},
		{name: "goodbye with a source open", in: `0a 1 {"name":["hang"],"args":[],"type":"source"}
			bye`, out: "0a -1 1\n0e -1 true\nbye", end: "EOF"},
		{name: "half-close with a source open", in: `0a 1 {"name":["hang"],"args":[],"type":"source"}`, out: "0a -1 1"},
	} {
		t.Run(x.name, x.run)
	}
}
