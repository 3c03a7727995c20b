package channel_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/testnet"
)

// slowConn brings 4 KiB a second, as a bubble's clock says.
type slowConn struct{ net.Conn }

func (c slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:min(len(b), 1<<10)])
	sleep(n * 1000 >> 12)
	return n, err
}

func (c slowConn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// TestResumeSlow: a link that takes longer for one frame than a link may be silent
// is not silent, to either end.
func TestResumeSlow(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		x, y := testnet.Pipe()
		la, lb := shake(t, x, slowConn{y}, false)
		lost := make(chan struct{}, 1)
		e.resume(t, la, lb, func() { lost <- struct{}{} }).want(t)
		const size = 96 << 10
		e.wg.Go(func() {
			if _, err := e.caller.Write(make([]byte, size)); err != nil {
				t.Error(err)
			}
			e.caller.CloseWrite()
		})
		send(t, e.callee, "a word") // waits for its ACK, behind the frames
		began := time.Now()
		n, err := io.Copy(io.Discard, e.callee)
		if n != size || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if took := time.Since(began); took < 20*time.Second {
			t.Errorf("the link has brought it in %v: it was not the link", took)
		}
		select {
		case <-lost:
			t.Error("the link was let go")
		default:
		}
		e.callee.CloseWrite()
		recvAll(t, e.caller, "a word")
	})
}
