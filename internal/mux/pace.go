package mux

import (
	"sync"
	"sync/atomic"
	"time"
)

// Pace bounds how many bytes per second the streams of some sessions bring that are
// spliced. Nothing that has come is held back: who sends faster is granted no more
// window until the time is made up, so that it runs ahead by its windows at most. The
// zero Pace has no bound. Safe for concurrent use.
type Pace struct {
	rate atomic.Int64 // bytes per second; 0: no bound

	mu   sync.Mutex
	paid time.Time // until when what has come is paid for
}

// maxPatience is how long a change of the bound may go unseen.
const maxPatience = time.Second

// SetRate changes the bound; 0 is none. It holds for what has come and is not made up
// for, too, within a second.
func (p *Pace) SetRate(perSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rate, old := int64(perSecond), p.rate.Swap(int64(perSecond))
	now := time.Now()
	switch {
	case rate == old || !p.paid.After(now):
	case rate <= 0 || old <= 0:
		p.paid = now
	default:
		p.paid = now.Add(time.Duration(float64(p.paid.Sub(now)) * float64(old) / float64(rate)))
	}
}

// Spend notes that n bytes have come, and returns how long it takes until they are
// made up for.
func (p *Pace) Spend(n int) time.Duration {
	rate := p.rate.Load()
	if rate <= 0 {
		return 0
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return p.paid.Sub(now)
}

// piece is how much of a credit may be granted to who has some window: with a bound
// no more than a first window, for the other end may grant what it likes.
func (p *Pace) piece(credit, window int64) int64 {
	if p.rate.Load() <= 0 {
		return credit
	}
	return min(credit, initialWindow-window)
}

// Piece is how much to take at once, of at most most, so that the time to make up
// for it is a second or less.
func (p *Pace) Piece(most int) int {
	if rate := p.rate.Load(); rate > 0 {
		return int(min(int64(most), rate))
	}
	return most
}

// grantLaterLocked reports whether the window of a stream has to wait, and sees to
// that it gets it then.
func (st *Stream) grantLaterLocked() bool {
	wait := st.s.cfg.Pace.Spend(0)
	if wait <= 0 {
		return false
	}
	if !st.paced {
		st.paced = true
		time.AfterFunc(min(wait, maxPatience), st.onPace)
	}
	return true
}

// onPace runs on a timer's goroutine: see onTick.
func (st *Stream) onPace() {
	defer st.s.guard()
	st.s.mu.Lock()
	defer st.s.unlock()
	st.paced = false
	st.grantCreditLocked()
}
