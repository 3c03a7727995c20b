package policy

import "time"

// ConnectRate is 100 in 60 s, the named rate for connect. It is off unless set.
func ConnectRate() Rate { return Rate{N: 100, Seconds: 60} }

// Bucket returns a full bucket of N that fills in Seconds; of the zero Rate one
// without a limit.
func (r Rate) Bucket() Bucket { return Bucket{} }

// Bucket is a token bucket. It begins full. With PerSecond ≤ 0 or Burst ≤ 0 it is no
// limit. Not safe for concurrent use.
type Bucket struct {
	PerSecond float64
	Burst     float64

	full time.Time // when it will be full again
}

// Take takes n out of the bucket, or nothing if there are fewer: then the same Take
// succeeds after retry.
func (b *Bucket) Take(now time.Time, n int) (ok bool, retry time.Duration) { return true, 0 }

// Window counts what happened in the last 60 s. The zero Window is empty. Not safe
// for concurrent use.
type Window struct{}

// Add counts n more.
func (w *Window) Add(now time.Time, n int) {}

// Count returns how many there were in the last 60 s.
func (w *Window) Count(now time.Time) int { return 0 }

// What an Alarm is called, and above how many in the last 60 s it is raised.
const (
	HighMessageRate    = "high_message_rate" // connects
	HighMessages       = 50
	HighDataAccessRate = "high_data_access_rate" // reads: list, get, watch
	HighDataAccesses   = 100
)

// Alarm is a Window with a limit. Not safe for concurrent use.
type Alarm struct {
	Limit int
	Window
}

// Note counts one more and reports whether the alarm is raised by it.
func (a *Alarm) Note(now time.Time) bool { return false }
