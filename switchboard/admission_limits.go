package switchboard

import (
	"runtime"
	"time"
)

// Admission bounds what connections cost before they have logged in, and how
// many of one origin there may be. A zero field takes the default in brackets;
// a negative rate or penalty is none at all.
//
// A source is an IPv4 address, or the /64 of an IPv6 address. The loopback
// interface, Unix sockets and the server's own process are never refused as
// sources: they are counted, Unix sockets by user.
type Admission struct {
	HandshakeTimeout  time.Duration // of a whole handshake [5 s]; over it closed
	HalfOpenNet       int           // connections in handshake over TCP [1024, or an eighth of the descriptors if that is less]; over it another is closed
	HalfOpenUnix      int           // likewise over Unix sockets, and in process [128, or an eighth]; likewise
	HalfOpenAdmin     int           // beside HalfOpenUnix, for processes that have no other connection in handshake [4]; over it likewise
	HalfOpenPerSource int           // of HalfOpenNet, of one source [16]; over it refused
	ConnectRate       int           // connections of one source per second [20]; over it refused, with PenaltyHello
	ConnectBurst      int           // at once [40]; likewise
	PenaltyHello      time.Duration // for a first message of no network of ours [1 s]
	PenaltyTimeout    time.Duration // for a handshake that was not done in time [10 s]
	PenaltyAuth       time.Duration // for a proof that does not hold, or a key that may not log in [5 s]
	PenaltyPanic      time.Duration // for what made the server fail [90 s]
	PenaltyMin        time.Duration // a source whose penalties add up to more is refused until they are over [15 s]
	PenaltyMax        time.Duration // what they add up to at most [10 min]
	Sources           int           // sources remembered [65536]; over it the one that is in order soonest is forgotten
	SessionsPerSource int           // [64]; over it a login is refused
	SessionsPerUID    int           // over Unix sockets, of one user, but for those of the server's own key [64]; over it a login is refused
	HandshakeRate     int           // handshakes begun per second, over TCP, but for those that become sessions [50 for each of GOMAXPROCS]; over it sources that are new take turns
	Handshakes        int           // whose arithmetic is done at once [GOMAXPROCS]; others wait
	Reserve           int           // descriptors held for when there are no others [32, or an eighth of all]
}

// Bounds that depend on how many descriptors and how much memory there are.
const (
	wantedFiles = 65_536
	maxSessions = 4096
	spareFiles  = 64 // of a process that has no sessions
	sessionCost = 3  // descriptors of a session: its connection, and passed sockets
	maxHeld     = 1 << 30
	heldShare   = 4 // of the memory
)

// fit fills in the fields of l that are zero and depend on how many descriptors
// and bytes of memory this process may have; 0 is unknown.
func (l *Limits) fit(files int, memory int64) {
	if files <= 0 {
		files = wantedFiles
	}
	share := max(files/8, 1)
	if l.Sessions == 0 {
		l.Sessions = min(maxSessions, max((files-spareFiles)/sessionCost, share))
	}
	if l.HeldTotal == 0 {
		l.HeldTotal = maxHeld
		if memory > 0 {
			l.HeldTotal = int(min(maxHeld, memory/heldShare))
		}
	}
	a := &l.Admission
	for _, f := range []struct {
		p *int
		n int
	}{
		{&a.HalfOpenNet, min(1024, share)}, {&a.HalfOpenUnix, min(128, share)}, {&a.HalfOpenAdmin, 4},
		{&a.HalfOpenPerSource, 16}, {&a.ConnectRate, 20}, {&a.ConnectBurst, 40}, {&a.Sources, 65_536},
		{&a.SessionsPerSource, 64}, {&a.SessionsPerUID, 64},
		{&a.HandshakeRate, 50 * runtime.GOMAXPROCS(0)}, {&a.Handshakes, runtime.GOMAXPROCS(0)}, {&a.Reserve, min(32, share)},
	} {
		if *f.p == 0 {
			*f.p = f.n
		}
	}
	for _, f := range []struct {
		p *time.Duration
		d time.Duration
	}{
		{&a.HandshakeTimeout, handshakeTimeout},
		{&a.PenaltyHello, time.Second}, {&a.PenaltyTimeout, 10 * time.Second}, {&a.PenaltyAuth, 5 * time.Second},
		{&a.PenaltyPanic, 90 * time.Second}, {&a.PenaltyMin, 15 * time.Second}, {&a.PenaltyMax, 10 * time.Minute},
	} {
		if *f.p == 0 {
			*f.p = f.d
		}
	}
}
