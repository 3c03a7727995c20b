package mux

import "time"

// Rate is how often something may happen: PerSecond on average, Burst at once.
// The zero Rate stands for a default; a negative Burst for no limit.
type Rate struct {
	PerSecond, Burst int
}

// NoRate is no limit.
var NoRate = Rate{Burst: -1}

// Rates bound what the peer of a session makes us do. Over any but Opens the
// session ends with ErrFlood.
type Rates struct {
	// Opens are the streams that the peer opens. Over it Accept waits; it
	// never ends the session by itself. Default 2,000 a second, 512 at once.
	Opens Rate
	// Resets are the peer's resets. Default 500 a second, 1,024 at once.
	Resets Rate
	// Pings are the peer's pings, and answers to none of ours. Default 4 a
	// second, 16 at once.
	Pings Rate
	// Updates are window updates, and frames that say nothing new. Default
	// 20,000 a second, as many at once.
	Updates Rate
	// Empty are data frames without data and without a flag. Default none.
	Empty Rate
	// Early is how many of 1,000 streams that the peer opens it may reset before
	// anybody accepts them. Default 500.
	Early int
}

func (r Rates) withDefaults() Rates {
	for _, d := range []struct {
		rate *Rate
		def  Rate
	}{
		{&r.Opens, Rate{2000, 512}}, {&r.Resets, Rate{500, 1024}}, {&r.Pings, Rate{4, 16}},
		{&r.Updates, Rate{20_000, 20_000}},
	} {
		if *d.rate == (Rate{}) {
			*d.rate = d.def
		}
	}
	if r.Early == 0 {
		r.Early = openWindow / 2
	}
	return r
}

// SetLimits changes Config.MaxStreams and Rates.Opens of a session that runs; zero
// values are the defaults. Streams that are there stay.
func (s *Session) SetLimits(maxStreams int, opens Rate) {
	c := Config{MaxStreams: maxStreams, Rates: Rates{Opens: opens}}.withDefaults()
	s.mu.Lock()
	defer s.mu.Unlock() // not unlock: the caller may hold locks that callbacks take
	s.cfg.MaxStreams, s.cfg.Rates.Opens = c.MaxStreams, c.Rates.Opens
}

// bucket counts against a Rate.
type bucket struct {
	used float64 // of the burst
	at   time.Time
}

// take reports whether one more may happen now.
func (b *bucket) take(r Rate, now time.Time) bool {
	if r.Burst < 0 {
		return true
	}
	if b.used > 0 { // idle buckets look at no clock
		b.used = max(0, b.used-now.Sub(b.at).Seconds()*float64(r.PerSecond))
	}
	b.at = now
	if b.used+1 > float64(r.Burst) {
		return false
	}
	b.used++
	return true
}

// wait is how long until take succeeds.
func (b *bucket) wait(r Rate) time.Duration {
	over := b.used + 1 - float64(r.Burst)
	return max(time.Millisecond, time.Duration(over/float64(max(r.PerSecond, 1))*float64(time.Second)))
}

// opens looks for streams that are opened and reset before anybody can accept
// them: a way to make work without having streams.
type opens struct {
	total, early int
}

// openWindow is the number of opens that are judged together.
const openWindow = 1000

// open counts an open, and reports whether more than most of the last were reset
// early.
func (o *opens) open(most int) (flood bool) {
	if o.total++; o.total < openWindow {
		return false
	}
	flood = o.early > most
	*o = opens{}
	return flood
}
