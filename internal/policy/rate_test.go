package policy_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/policy"
	"pgregory.net/rapid"
)

var start = time.UnixMilli(1_700_000_000_000)

// 100 connects in 60 s. The 101st is refused and told when to come again; after
// 60 s there is room for 100 again; another peer's bucket is another one.
func TestConnectRate(t *testing.T) {
	b, other := policy.ConnectRate().Bucket(), policy.ConnectRate().Bucket()
	for i := range 100 {
		if ok, retry := b.Take(start, 1); !ok || retry != 0 {
			t.Fatalf("connect %d: %v, %v", i+1, ok, retry)
		}
	}
	ok, retry := b.Take(start, 1)
	if ok || retry <= 0 || retry > 600*time.Millisecond {
		t.Fatalf("connect 101: %v, retry after %v, want a refusal and 600 ms", ok, retry)
	}
	if ok, _ := b.Take(start.Add(retry-time.Microsecond), 1); ok {
		t.Error("admitted before its time")
	}
	if ok, _ := other.Take(start, 1); !ok {
		t.Error("the bucket of another peer is empty, too")
	}
	if ok, retry := b.Take(start.Add(retry), 1); !ok {
		t.Errorf("refused after what it was told to wait, and %v more", retry)
	}
	later := start.Add(60*time.Second + 600*time.Millisecond)
	for i := range 100 {
		if ok, retry := b.Take(later, 1); !ok {
			t.Fatalf("connect %d a minute later: retry after %v", i+1, retry)
		}
	}
	if ok, _ := b.Take(later, 1); ok {
		t.Error("connect 101 of the second minute is admitted")
	}
}

func TestBucketEdges(t *testing.T) {
	for _, b := range []policy.Bucket{{}, {PerSecond: 1}, {Burst: 1}, {PerSecond: -1, Burst: 1}, policy.Rate{}.Bucket()} {
		for range 1000 {
			if ok, retry := b.Take(start, 1000); !ok || retry != 0 {
				t.Fatalf("%+v is a limit", b)
			}
		}
	}
	b := policy.Bucket{PerSecond: 2, Burst: 4}
	if ok, _ := b.Take(start, 0); !ok {
		t.Error("nothing is refused")
	}
	if ok, _ := b.Take(start, 100); !ok {
		t.Error("more than the burst is refused by a full bucket")
	}
	if ok, retry := b.Take(start, 0); !ok || retry != 0 {
		t.Error("nothing is refused by an empty bucket")
	}
	if ok, retry := b.Take(start, 100); ok || retry != 2*time.Second {
		t.Errorf("more than the burst: %v, %v, want 2 s", ok, retry)
	}
	if ok, retry := b.Take(start.Add(time.Second), 3); ok || retry != 500*time.Millisecond {
		t.Errorf("3 of 2: %v, %v, want 500 ms", ok, retry)
	}
	if ok, _ := b.Take(start.Add(time.Second), 2); !ok { // what was refused took nothing
		t.Error("2 of 2 are refused")
	}
	// A clock that goes back costs one filling, not the time it went back.
	if ok, retry := b.Take(start.Add(-time.Hour), 1); ok || retry > 500*time.Millisecond {
		t.Errorf("an hour back: %v, %v", ok, retry)
	}
	slow := policy.Bucket{PerSecond: 1e-300, Burst: math.MaxFloat64}
	if ok, _ := slow.Take(start, math.MaxInt); !ok {
		t.Error("a full bucket of any size refuses")
	}
	if ok, retry := slow.Take(start, math.MaxInt); ok || retry <= 0 {
		t.Errorf("a bucket that never fills: %v, %v", ok, retry)
	}
}

// In no stretch of time does more come out than the burst and what came in, and who
// comes when told is let in.
func TestBucketRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := policy.Rate{N: rapid.IntRange(1, 5000).Draw(t, "n"), Seconds: rapid.IntRange(1, 3600).Draw(t, "seconds")}
		full := r.Bucket()
		for i := range r.N {
			if ok, retry := full.Take(start, 1); !ok {
				t.Fatalf("%v: %d of a full bucket: retry after %v", r, i+1, retry)
			}
		}
		if ok, _ := full.Take(start, 1); ok {
			t.Fatalf("%v: one more than it holds", r)
		}
		b, now, taken := r.Bucket(), start, 0
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "wait")))
			n := rapid.IntRange(1, r.N).Draw(t, "take")
			ok, retry := b.Take(now, n)
			if !ok {
				now = now.Add(retry)
				if ok, more := b.Take(now, n); !ok {
					t.Fatalf("%v: %d refused after %v, and told %v more", r, n, retry, more)
				}
			}
			taken += n
			if most := float64(r.N) * (1 + now.Sub(start).Seconds()/float64(r.Seconds)); float64(taken) > most*(1+1e-5)+1e-3 {
				t.Fatalf("%v: %d taken in %v, at most %.3f", r, taken, now.Sub(start), most)
			}
		}
	})
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]policy.Rate{"100/60": policy.ConnectRate(), "1/1": {N: 1, Seconds: 1}, "1000000/86400": {N: 1_000_000, Seconds: 86_400}} {
		if r, err := policy.ParseRate(text); err != nil || r != want || r.String() != text {
			t.Errorf("ParseRate(%q) = %v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "/", "1", "1/", "/1", "0/1", "1/0", "-1/1", "1/1/1", " 1/1", "1 /1", "1/1s", "0x1/1", "1e3/1", "01/1", "1000001/1", "1/86401"} {
		if r, err := policy.ParseRate(text); !errors.Is(err, policy.ErrRate) || r != (policy.Rate{}) {
			t.Errorf("ParseRate(%q) = %v, %v, want ErrRate", text, r, err)
		}
	}
	if s := (policy.Rate{}).String(); s != "" {
		t.Errorf("no rate is written %q", s)
	}
}

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// what counts is the last 60 s, so one call in the first second is one a minute.
// 51 in a minute raise one alarm.
func TestAlarm(t *testing.T) {
	a := policy.Alarm{Limit: policy.HighMessages}
	raised := 0
	note := func(ms int) {
		if a.Note(at(ms)) {
			raised++
		}
	}
	note(0)
	if got := a.Count(at(1)); got != 1 {
		t.Errorf("one call in the first millisecond: %d a minute, want 1", got)
	}
	for i := range 49 {
		note(1 + i)
	}
	if raised != 0 {
		t.Error("50 raise the alarm")
	}
	note(60_000) // the first is out by now
	if raised != 0 {
		t.Error("51 in more than a minute raise the alarm")
	}
	note(60_001)
	if raised != 0 {
		t.Errorf("50 in the last minute raise the alarm: %d", a.Count(at(60_001)))
	}
	a = policy.Alarm{Limit: policy.HighMessages}
	for i := range 51 {
		note(i * 1176) // 58.8 s from the first to the last
		if want := i / 50; raised != want {
			t.Errorf("call %d: %d alarms, want %d", i+1, raised, want)
		}
	}
	for i := 51; i < 500; i++ {
		note(i * 1176)
	}
	if raised != 1 {
		t.Errorf("a rate that stays above: %d alarms, want 1", raised)
	}
	for i := range 51 {
		note(700_000 + i)
	}
	if raised != 2 {
		t.Errorf("a second flood: %d alarms, want 2", raised)
	}
	for i := range 500 {
		note(800_000 + i*1190) // 50 and 51 in turns
	}
	if raised != 3 {
		t.Errorf("a rate at the limit: %d alarms, want 3", raised)
	}
}

// a scripted 30 a minute reads as 30 from the first full minute on.
func TestWindowSteady(t *testing.T) {
	var w policy.Window
	for i := range 300 {
		w.Add(at(2000*i), 1)
		if got, want := w.Count(at(2000*i)), min(i+1, 30); got != want {
			t.Fatalf("after %d s: %d, want %d", 2*i, got, want)
		}
	}
	last := 2000 * 299
	for ms, want := range map[int]int{last + 1999: 30, last + 2000: 29, last + 59_999: 1} {
		v := policy.Window{}
		for i := range 300 {
			v.Add(at(2000*i), 1)
		}
		if got := v.Count(at(ms)); got != want {
			t.Errorf("%d ms after the last: %d, want %d", ms-last, got, want)
		}
	}
	if got := w.Count(at(last + 60_000)); got != 0 {
		t.Errorf("a minute after the last: %d, want none", got)
	}
}

// Ten a second are more than are kept one by one.
func TestWindowDense(t *testing.T) {
	var w policy.Window
	for i := range 3000 {
		w.Add(at(100*i), 1)
		if got, most := w.Count(at(100*i)), min(i+1, 600); got > most || got < most-5 {
			t.Fatalf("after %d ms: %d, want %d, or 5 less", 100*i, got, most)
		}
	}
}

func TestWindowEdges(t *testing.T) {
	var w policy.Window
	w.Add(start, 0)
	w.Add(start, -5)
	if got := w.Count(start); got != 0 {
		t.Errorf("none added: %d", got)
	}
	w.Add(start, 7)
	w.Add(start.Add(-time.Hour), 2) // a clock that goes back stands still
	if got := w.Count(start.Add(-time.Hour)); got != 9 {
		t.Errorf("back in time: %d, want 9", got)
	}
	if got := w.Count(at(60_000)); got != 0 {
		t.Errorf("a minute later: %d, want none", got)
	}
}

// With few calls a Window is exact. With many it never says more than there were, nor
// less than there were in the last 59.5 s.
func TestWindowRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w policy.Window
		var all []time.Time
		now := start
		waits := rapid.SliceOfN(rapid.Int64Range(0, rapid.SampledFrom([]int64{1e3, 1e6, 1e8, 1e9, 2e10}).Draw(t, "longest wait")), 1, 9).Draw(t, "waits")
		from60, from59 := 0, 0 // the first within the last 60 s, and within 59.5 s
		for i := range rapid.IntRange(1, 1500).Draw(t, "calls") {
			now = now.Add(time.Duration(waits[i%len(waits)] * int64(1+i%7)))
			w.Add(now, 1)
			all = append(all, now)
			for ; now.Sub(all[from60]) >= 60*time.Second; from60++ {
			}
			for ; now.Sub(all[from59]) >= 59500*time.Millisecond; from59++ {
			}
			got, most, least := w.Count(now), len(all)-from60, len(all)-from59
			if got > most || got < least || len(all) <= 256 && got != most {
				t.Fatalf("call %d at %v: %d, want %d, or %d at least", len(all), now.Sub(start), got, most, least)
			}
		}
	})
}
