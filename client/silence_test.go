package client

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// The lease counts from the end of a session; from when it fell silent, if that
// was its end.
func TestLeaseCountsSilence(t *testing.T) {
	for _, tt := range []struct {
		cause error
		ms    int64 // that the server says
		want  time.Duration
	}{
		{io.EOF, 0, time.Minute},
		{errGoAway, 5000, 5 * time.Second},
		{mux.ErrDead, 0, 15 * time.Second},
		{fmt.Errorf("control lane: %w", mux.ErrDead), 50_000, 5 * time.Second},
		{errSilent, 0, 15 * time.Second},
		{errSilent, 5000, 0},
	} {
		var s session
		s.me.Server.LeaseMS = tt.ms
		if got := s.lease(tt.cause); got != tt.want {
			t.Errorf("a lease of %d ms after %v: got %v, want %v", tt.ms, tt.cause, got, tt.want)
		}
	}
}
