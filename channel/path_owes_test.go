package channel_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/testnet"
)

// TestResumeOwes: a channel that is closed while it moves resumably owes what the
// other end has not acknowledged, though nobody waits for it in a Write.
func TestResumeOwes(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		x, y := testnet.Pipe()
		stall := testnet.Stallable(x)
		la, lb := shake(t, stall, y, false)
		send(t, e.callee, "unread") // the caller is not through
		res := e.resume(t, la, lb, nil)
		synctest.Wait()
		stall.Stall()
		send(t, e.caller, "on the link")
		e.caller.Close()
		synctest.Wait()
		if !e.caller.Owes() {
			t.Error("what is on the way is not owed")
		}
		stall.Unstall()
		recv(t, e.callee, "on the link")
		time.Sleep(time.Second)
		if e.caller.Owes() {
			t.Error("what has come is owed")
		}
		e.callee.Close()
		<-res.caller
		<-res.callee
	})
}
