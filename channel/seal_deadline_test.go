package channel_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/testnet"
)

// TestSealKept: a lane that has taken all and not sent it when the deadline came,
// as a link does: the Write says so, and what was written comes with the next.
func TestSealKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, other := testnet.Pipe()
		stall := testnet.Stallable(raw)
		a, b := shake(t, stall, other, false)
		x, y := sealed(t, a, b)
		stall.Stall()
		x.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := x.Write([]byte("late")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the Write that was not sent: %v", err)
		}
		stall.Unstall()
		x.SetWriteDeadline(time.Time{})
		send(t, x, " and in order")
		recv(t, y, "late and in order")
		x.Abort()
		y.Abort()
	})
}
