package switchboard

import (
	"testing"
	"time"
)

// A small crowd may come back at once, a large one takes its time, but not so long
// that its direct channels end.
func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		crowd       int
		lease, want time.Duration
	}{
		{0, time.Minute, 0},
		{32, time.Minute, 0},
		{33, time.Minute, 3 * time.Second},
		{64, time.Minute, 3 * time.Second},
		{65, time.Minute, 6 * time.Second},
		{200, time.Minute, 11 * time.Second},
		{4096, time.Minute, 30 * time.Second},
		{4096, 5 * time.Minute, 30 * time.Second},
		{200, 5 * time.Second, 2500 * time.Millisecond},
	} {
		if got := spread(tt.crowd, tt.lease); got != tt.want {
			t.Errorf("%d with a lease of %v: got %v, want %v", tt.crowd, tt.lease, got, tt.want)
		}
	}
}
