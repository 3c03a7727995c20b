package alarm_test

import (
	"net"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cad2f06c/switchboard/internal/alarm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what should come soon.
const patience = 20 * time.Second

// await returns what c gets n times.
func await[T any](t *testing.T, c <-chan T, n int) (all []T) {
	t.Helper()
	late := time.After(patience)
	for range n {
		select {
		case v := <-c:
			all = append(all, v)
		case <-late:
			t.Fatalf("%d of %d alarms have come: %v", len(all), n, all)
		}
	}
	return all
}

// Alarms come in the order in which they are due, none early, each once.
func TestOrder(t *testing.T) {
	var c alarm.Clock
	defer c.Close()
	came := make(chan int, 10)
	began := time.Now()
	for _, ms := range []int{60, 20, 80, 0, 40, -5} {
		c.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
			if early := time.Duration(ms)*time.Millisecond - time.Since(began); early > 0 {
				t.Errorf("the alarm of %d ms came %v early", ms, early)
			}
			came <- ms
		})
	}
	got := await(t, came, 6)
	slices.Sort(got[:2]) // both were due at once
	if want := []int{-5, 0, 20, 40, 60, 80}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Stop takes an alarm back, also the one that the Clock is set for; Reset moves it in
// both directions, and has one that has come come again.
func TestStopReset(t *testing.T) {
	var c alarm.Clock
	defer c.Close()
	came := make(chan string, 10)
	set := func(name string, d time.Duration) *alarm.Alarm {
		return c.AfterFunc(d, func() { came <- name })
	}
	stopped, later, sooner := set("stopped", 10*time.Millisecond), set("later", 15*time.Millisecond), set("sooner", time.Hour)
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop: want true for what is pending, then false")
	}
	if !later.Reset(60*time.Millisecond) || !sooner.Reset(30*time.Millisecond) {
		t.Error("Reset: want true for what is pending")
	}
	if got := await(t, came, 2); !slices.Equal(got, []string{"sooner", "later"}) {
		t.Errorf("got %v", got)
	}
	if sooner.Reset(0) || later.Stop() {
		t.Error("an alarm that has come is pending")
	}
	if got := await(t, came, 1); got[0] != "sooner" {
		t.Errorf("got %v", got)
	}
}

// An alarm may set, move and stop alarms of its Clock.
func TestInside(t *testing.T) {
	var c alarm.Clock
	defer c.Close()
	came := make(chan int, 10)
	other := c.AfterFunc(time.Hour, func() { came <- -1 })
	n := 0
	var again *alarm.Alarm
	ready := make(chan struct{})
	again = c.AfterFunc(time.Millisecond, func() {
		<-ready
		if n++; n < 3 {
			again.Reset(time.Millisecond)
		} else {
			other.Stop()
			c.AfterFunc(0, func() { came <- n })
		}
	})
	close(ready)
	if got := await(t, came, 1); got[0] != 3 {
		t.Errorf("got %v, want 3", got)
	}
}

// Close ends what is pending, and waits for what is under way; what comes later never
// comes.
func TestClose(t *testing.T) {
	var c alarm.Clock
	in, out := make(chan struct{}), make(chan struct{})
	over := false
	c.AfterFunc(0, func() { close(in); <-out; over = true })
	pending := c.AfterFunc(time.Hour, func() { t.Error("called") })
	<-in
	time.AfterFunc(20*time.Millisecond, func() { close(out) })
	c.Close()
	if !over {
		t.Error("Close has not waited for a call")
	}
	if pending.Stop() || pending.Reset(0) {
		t.Error("an alarm is pending behind Close")
	}
	if c.AfterFunc(0, func() { t.Error("called behind Close") }).Stop() {
		t.Error("an alarm that was set behind Close is pending")
	}
	c.Close()
	var unused alarm.Clock
	unused.Close()
}

// Without a timer of the kernel the runtime's will do.
func TestWithout(t *testing.T) {
	c := alarm.Without()
	came := make(chan int, 1)
	a := c.AfterFunc(time.Hour, func() { came <- 1 })
	if !a.Reset(0) {
		t.Error("Reset: want true for what is pending")
	}
	await(t, came, 1)
	if a.Stop() {
		t.Error("an alarm that has come is pending")
	}
	c.AfterFunc(20*time.Millisecond, func() { t.Error("called behind Close") })
	c.Close()
	<-time.After(40 * time.Millisecond)
}

// Only who waits in the kernel gains by a Clock.
func TestFor(t *testing.T) {
	var c alarm.Clock
	defer c.Close()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	timer := c.For(a)(time.Hour, func() {})
	defer timer.Stop()
	if _, ok := timer.(*time.Timer); !ok {
		t.Errorf("a pipe of the process has a %T", timer)
	}
	came := make(chan int, 1)
	c.For(new(net.TCPConn))(0, func() { came <- 1 })
	await(t, came, 1)
}
