package switchboard_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/switchboard"
)

// frame is a yamux header: kind 0 is data of length bytes.
func frame(kind byte, flags uint16, stream, length uint32) []byte {
	h := binary.BigEndian.AppendUint16([]byte{0, kind}, flags)
	h = binary.BigEndian.AppendUint32(h, stream)
	return binary.BigEndian.AppendUint32(h, length)
}

// callFrame is a call on yamux stream 1.
func callFrame(t *testing.T, flags uint16, req int32, method, args string) []byte {
	t.Helper()
	var p bytes.Buffer
	if err := muxrpc.WritePacket(&p, muxrpc.Packet{Flags: 0x02, Req: req, Body: []byte(request(method, "async", args))}); err != nil {
		t.Fatal(err)
	}
	return append(frame(0, flags, 1, uint32(p.Len())), p.Bytes()...)
}

// A claim whose session ends at the same moment leaves no name behind: nobody
// would ever give it back.
func TestClaimOfDyingSession(t *testing.T) {
	const rounds = 100
	bubble(t, switchboard.Limits{NamesPerKey: rounds}, func(t *testing.T, h *host) {
		for i := range rounds {
			conn := h.dial(1)
			if _, err := conn.Write(callFrame(t, 1, 1, "whoami", "")); err != nil {
				t.Fatal(err)
			}
			var heard []byte
			for !bytes.Contains(heard, []byte(`"server"`)) {
				b := make([]byte, 4<<10)
				n, err := conn.Read(b)
				if err != nil {
					t.Fatalf("before the answer: %v", err)
				}
				heard = append(heard, b[:n]...)
			}
			claim := callFrame(t, 0, 2, "names.claim", fmt.Sprintf(`{"name":"n%d"}`, i))
			// Data on stream 0 ends the session.
			if _, err := conn.Write(append(claim, frame(0, 0, 0, 9)...)); err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, conn) // until the server has hung up
			conn.Abort()
		}
		synctest.Wait()
		var list control.ListResult
		if err := json.Unmarshal(h.lane(2).call(1, "names.list", `{}`), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Names) > 0 {
			t.Errorf("%d names of ended sessions are left, the first is %+v", len(list.Names), list.Names[0])
		}
	})
}
