package mux_test

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// TestRates: each rate holds what it allows at once and per second, and one
// more ends the session with enhance_calm.
func TestRates(t *testing.T) {
	few := mux.Rate{PerSecond: 10, Burst: 20}
	for _, c := range []struct {
		name  string
		rates mux.Rates
		frame func(i uint32) []frame
	}{
		{"pings", mux.Rates{Pings: few}, func(i uint32) []frame { return []frame{pinged(syn, i)} }},
		{"answers to no ping", mux.Rates{Pings: few}, func(i uint32) []frame { return []frame{pinged(ack, i)} }},
		{"resets", mux.Rates{Resets: few}, func(i uint32) []frame { return []frame{flags(1, rst)} }},
		{"window updates", mux.Rates{Updates: few}, func(i uint32) []frame { return []frame{update(1, 1)} }},
		{"window updates of nothing", mux.Rates{Updates: few}, func(i uint32) []frame { return []frame{update(1, 0)} }},
		{"answers to an open", mux.Rates{Updates: few}, func(i uint32) []frame { return []frame{flags(1, ack)} }},
		{"ends", mux.Rates{Updates: mux.Rate{PerSecond: 10, Burst: 19}}, func(i uint32) []frame { return []frame{flags(1, fin)} }}, // the first counts as none
		{"empty data", mux.Rates{Empty: few}, func(i uint32) []frame { return []frame{text(1, "")} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer := rawClient(t, mux.Config{Rates: c.rates})
				var wg sync.WaitGroup
				var last frame
				wg.Go(func() {
					for f, err := peer.next(); err == nil; f, err = peer.next() {
						last = f
					}
				})
				peer.send(open(1))
				synctest.Wait()
				send := func(n int) {
					for i := range n {
						peer.send(c.frame(uint32(i + 1))...)
					}
					synctest.Wait()
				}
				send(20)
				time.Sleep(time.Second)
				send(10)
				if err := s.Err(); err != nil {
					t.Fatalf("within the rate: %v", err)
				}
				send(1)
				if !errors.Is(s.Err(), mux.ErrFlood) {
					t.Errorf("over the rate: %v, want ErrFlood", s.Err())
				}
				time.Sleep(time.Minute)
				wg.Wait()
				if last != leave(11) {
					t.Errorf("last frame is %v, want go-away 11", last)
				}
			})
		})
	}
}

// TestEmptyData: none is allowed.
func TestEmptyData(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	peer.send(open(1), text(1, ""))
	<-s.Done()
	if !errors.Is(s.Err(), mux.ErrFlood) {
		t.Errorf("got %v, want ErrFlood", s.Err())
	}
}

// TestOpenRate: over it Accept waits, and nothing is lost.
func TestOpenRate(t *testing.T) {
	for _, handled := range []bool{false, true} {
		t.Run(fmt.Sprint("handled: ", handled), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := mux.Config{Rates: mux.Rates{Opens: mux.Rate{PerSecond: 10, Burst: 20}}}
				var mu sync.Mutex
				var times []time.Duration
				began := time.Now()
				note := func() {
					mu.Lock()
					defer mu.Unlock()
					times = append(times, time.Since(began).Round(10*time.Millisecond))
				}
				if handled {
					cfg.Handle = func(*mux.Stream, *mux.Batch) { note() }
				}
				s, peer := rawClient(t, cfg)
				var wg sync.WaitGroup
				wg.Go(func() {
					if handled {
						s.Run()
						return
					}
					for {
						if _, err := s.Accept(t.Context()); err != nil {
							return
						}
						note()
					}
				})
				for i := range uint32(50) {
					peer.send(open(2*i + 1))
				}
				time.Sleep(time.Minute)
				mu.Lock()
				if len(times) != 50 || times[19] != 0 || times[20] != 100*time.Millisecond || times[49] != 3*time.Second {
					t.Errorf("accepted after %v", times)
				}
				mu.Unlock()
				s.Abort(nil)
				wg.Wait()
			})
		})
	}
}

// TestEarlyResets: who opens streams only to reset them is sent away, though
// each alone would be within the rates; who resets what was accepted is not.
func TestEarlyResets(t *testing.T) {
	third := func(id uint32) []frame {
		if id%3 == 0 {
			return []frame{open(id), flags(id, rst)}
		}
		return []frame{open(id)}
	}
	for _, c := range []struct {
		name   string
		frames func(id uint32) []frame
		accept bool
		flood  bool
		most   int // of 1,000
	}{
		{"open, reset", func(id uint32) []frame { return []frame{open(id), flags(id, rst)} }, false, true, 0},
		{"in one frame", func(id uint32) []frame { return []frame{flags(id, syn|rst)} }, false, true, 0},
		{"every third", third, true, false, 0},
		{"every third, which are too many", third, true, true, 300},
		{"all, which may be", func(id uint32) []frame { return []frame{flags(id, syn|rst)} }, false, false, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer := rawClient(t, mux.Config{Rates: mux.Rates{Opens: mux.NoRate, Resets: mux.NoRate, Early: c.most}, MaxStreams: 1 << 20, Backlog: 1 << 20})
				var wg sync.WaitGroup
				wg.Go(func() { io.Copy(io.Discard, peer) })
				for i := range uint32(3000) {
					peer.send(c.frames(2*i + 1)...)
					if s.Err() != nil {
						break
					}
				}
				synctest.Wait()
				if flood := errors.Is(s.Err(), mux.ErrFlood); flood != c.flood {
					t.Errorf("session: %v, want a flood: %v", s.Err(), c.flood)
				}
				s.Abort(nil)
				wg.Wait()
			})
		})
	}
}

// TestAnswersAgain: a ping is answered once; more answers to it are answers to none.
func TestAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := rawClient(t, mux.Config{Rates: mux.Rates{Pings: mux.Rate{PerSecond: 1, Burst: 5}}})
		for v := range uint32(3) {
			peer.want(pinged(syn, v+1))
			peer.send(pinged(ack, v+1))
		}
		for range 5 {
			peer.send(pinged(ack, 2))
		}
		synctest.Wait()
		if err := s.Err(); err != nil {
			t.Fatalf("within the rate: %v", err)
		}
		peer.send(pinged(ack, 2))
		synctest.Wait()
		if !errors.Is(s.Err(), mux.ErrFlood) {
			t.Errorf("over the rate: %v, want ErrFlood", s.Err())
		}
	})
}
