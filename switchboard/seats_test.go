package switchboard

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// visitFrom is a connection of a process over the Unix socket.
func visitFrom(t *testing.T, a *admission, pid int32) *visit {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	v, err := a.arrive(theirs, origin{transport: transportUnix, pid: pid})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// While the pool of Unix sockets is full, a process that has no connection in
// handshake gets a place that those of others do not reach.
func TestAdminSeat(t *testing.T) {
	l := defaults()
	l.HalfOpenUnix, l.HalfOpenAdmin = 8, 2
	a := newAdmission(l, slog.New(slog.DiscardHandler))
	for range 100 {
		visitFrom(t, a, 1)
	}
	if s := a.snapshot(); s.HalfOpenUnix != 8 || s.HalfOpenAdmin != 0 {
		t.Errorf("one process: %+v", s)
	}
	admin := visitFrom(t, a, 2)
	for range 100 {
		visitFrom(t, a, 1)
		visitFrom(t, a, 2)
	}
	if s := a.snapshot(); admin.Err() != nil || s.HalfOpenAdmin != 1 || s.HalfOpenUnix != 8 {
		t.Errorf("an administrator's: %v, %+v", admin.Err(), s)
	}
	visitFrom(t, a, 3)
	visitFrom(t, a, 4) // all places are taken: somebody goes, but not from there
	if s := a.snapshot(); admin.Err() != nil || s.HalfOpenAdmin != 2 || s.HalfOpenUnix != 8 {
		t.Errorf("an administrator's: %v, %+v", admin.Err(), s)
	}
	admin.settle(nil)
	if a.admin.n != 1 {
		t.Errorf("%d places are taken when one has logged in", a.admin.n)
	}
	a.close()
	if s := a.snapshot(); s.HalfOpenAdmin+s.HalfOpenUnix != 0 || visitFrom(t, a, 5).Err() == nil {
		t.Errorf("closed: %+v, and it takes more", s)
	}
}

// The arithmetic of no more handshakes than may runs at once, and not for who has
// been closed while it waited.
func TestHandshakesTakeTurns(t *testing.T) {
	l := defaults()
	l.Handshakes = 3
	a := newAdmission(l, slog.New(slog.DiscardHandler))
	var now, most, ran atomic.Int64
	var wg sync.WaitGroup
	hold := make(chan struct{})
	for range 50 {
		v := visitFrom(t, a, 1)
		wg.Go(func() {
			_ = v.arithmetic(1, func() error {
				most.Store(max(most.Load(), now.Add(1)))
				<-hold
				ran.Add(1)
				now.Add(-1)
				return nil
			})
		})
	}
	for now.Load() < 3 {
		<-time.After(time.Millisecond)
	}
	for a.shed() {
	}
	close(hold)
	wg.Wait()
	if most.Load() != 3 || a.snapshot().MostHandshakes != 3 || ran.Load() != 3 {
		t.Errorf("%d at once, counted %d, of %d; want 3, for the others had been closed", most.Load(), a.snapshot().MostHandshakes, ran.Load())
	}
}

func TestFit(t *testing.T) {
	for _, tt := range []struct{ files, sessions, net, unix, reserve int }{
		{0, 4096, 1024, 128, 32},
		{65_536, 4096, 1024, 128, 32},
		{4096, 1344, 512, 128, 32},
		{1024, 320, 128, 128, 32},
		{64, 8, 8, 8, 8},
		{4, 1, 1, 1, 1},
	} {
		var l Limits
		l.fit(tt.files, 0)
		if a := l.Admission; l.Sessions != tt.sessions || a.HalfOpenNet != tt.net || a.HalfOpenUnix != tt.unix || a.Reserve != tt.reserve || a.SessionsPerUID != 64 {
			t.Errorf("%d descriptors: %d sessions, %+v", tt.files, l.Sessions, a)
		}
	}
	for memory, held := range map[int64]int{0: 1 << 30, 64 << 30: 1 << 30, 4 << 30: 1 << 30, 256 << 20: 64 << 20} {
		var l Limits
		if l.fit(0, memory); l.HeldTotal != held {
			t.Errorf("of %d bytes of memory %d may be held, want %d", memory, l.HeldTotal, held)
		}
	}
	l := Limits{Sessions: 5, HeldTotal: 8, Admission: Admission{HalfOpenNet: 6, Reserve: 7, PenaltyAuth: -1}}
	l.fit(64, 1<<30)
	if l.Sessions != 5 || l.HeldTotal != 8 || l.Admission.HalfOpenNet != 6 || l.Admission.Reserve != 7 || l.Admission.PenaltyAuth != -1 {
		t.Errorf("what was set is %+v", l)
	}
}

// Lines about single connections stop under a flood, and say how many there were
// when they go on.
func TestLineRate(t *testing.T) {
	var r lineRate
	said := 0
	for range 10_000 {
		if _, ok := r.take(0); ok {
			said++
		}
	}
	unsaid, ok := r.take(time.Second)
	if said != maxLines || !ok || unsaid != 9000 {
		t.Errorf("%d lines at once; a second later %d are owned up to, %t", said, unsaid, ok)
	}
}

// The reserve is taken back as far as there are descriptors.
func TestReserve(t *testing.T) {
	r := reserve{size: 3}
	if !r.whole() || len(r.held) != 3 || !r.whole() {
		t.Errorf("%d are held", len(r.held))
	}
	r.letGo()
	if len(r.held) != 0 {
		t.Errorf("%d are held", len(r.held))
	}
	none := reserve{size: -1}
	if !none.whole() {
		t.Error("nothing is to be held, and it is not")
	}
}
