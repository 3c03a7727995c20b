package client

import (
	"testing"
	"time"
)

// The pause before a reconnect grows with a server that drops everybody, and
// with nothing else: however often a server is killed, whoever had a session
// for a while is back soon.
func TestBackoffEarned(t *testing.T) {
	for _, tt := range []struct {
		lasted time.Duration
		most   time.Duration // the pause after many sessions that lasted so
	}{
		{0, maxBackoff},
		{time.Millisecond, maxBackoff},
		{10 * time.Millisecond, minBackoff},
		{300 * time.Millisecond, minBackoff},
		{maxBackoff, minBackoff},
	} {
		var pause backoff
		for range 20 {
			pause.next(false)
			pause.earn(tt.lasted)
		}
		pause.next(false)
		if pause.d != tt.most {
			t.Errorf("after sessions of %v: got a pause of %v, want %v", tt.lasted, pause.d, tt.most)
		}
	}
}
