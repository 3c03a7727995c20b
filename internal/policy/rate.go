package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is at most N in so many Seconds. The zero Rate is no limit.
type Rate struct{ N, Seconds int }

const (
	maxRateN       = 1_000_000
	maxRateSeconds = 86_400
)

// ErrRate says that a text is no rate.
var ErrRate = fmt.Errorf("policy: a rate is N/SECONDS, 1 to %d in 1 to %d s", maxRateN, maxRateSeconds)

var errDigits = errors.New("policy: not a plain number")

// ParseRate reads "100/60": 100 in 60 s.
func ParseRate(s string) (Rate, error) {
	n, seconds, _ := strings.Cut(s, "/")
	var r Rate
	var err error
	if r.N, err = parseNumber(n, maxRateN); err != nil {
		return Rate{}, ErrRate
	}
	if r.Seconds, err = parseNumber(seconds, maxRateSeconds); err != nil {
		return Rate{}, ErrRate
	}
	return r, nil
}

// parseNumber reads 1 to limit in its one spelling.
func parseNumber(s string, limit int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > limit || strconv.Itoa(n) != s {
		return 0, errDigits
	}
	return n, nil
}

// String returns the text of r, which ParseRate reads back as r; "" for no limit.
func (r Rate) String() string {
	if r == (Rate{}) {
		return ""
	}
	return fmt.Sprintf("%d/%d", r.N, r.Seconds)
}

// ConnectRate is 100 in 60 s, the named rate for connect. It is off unless set.
func ConnectRate() Rate { return Rate{N: 100, Seconds: 60} }

// Bucket returns a full bucket that holds N and fills in Seconds; of the zero Rate
// one without a limit.
func (r Rate) Bucket() Bucket {
	if r.Seconds <= 0 {
		return Bucket{}
	}
	return Bucket{PerSecond: float64(r.N) / float64(r.Seconds), Burst: float64(r.N)}
}

// Bucket is a token bucket. It begins full. With PerSecond ≤ 0 or Burst ≤ 0 it is no
// limit. Both may be changed between two uses. Not safe for concurrent use.
type Bucket struct {
	PerSecond float64
	Burst     float64

	full time.Time // when it will be full again
}

// Take takes n out of the bucket, or nothing if there are fewer: then the same Take
// succeeds after retry, if nobody else takes before. An n above Burst takes all of a
// full bucket, an n below 1 nothing. now must not go back; if it does, the bucket is
// empty at worst.
func (b *Bucket) Take(now time.Time, n int) (ok bool, retry time.Duration) {
	if b.PerSecond <= 0 || b.Burst <= 0 || n < 1 {
		return true, 0
	}
	capacity := b.lasts(b.Burst)
	due := min(max(b.full.Sub(now), 0), capacity)
	after := due + b.lasts(min(float64(n), b.Burst))
	if after > capacity+1 { // each sum of times is a nanosecond short at most
		return false, after - capacity
	}
	b.full = now.Add(after)
	return true, 0
}

// maxFill keeps sums of two times within a time.Duration.
const maxFill = 100 * 365 * 24 * time.Hour

// lasts is how long it takes until n have come in.
func (b *Bucket) lasts(n float64) time.Duration {
	return time.Duration(min(n/b.PerSecond*float64(time.Second), float64(maxFill)))
}
