package switchboard

import (
	"net"
	"time"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// unackedTime is how long a peer may leave bytes without an answer (PROTOCOL.md §8).
const unackedTime = 30 * time.Second

// tune makes the kernel notice a peer that is gone without a word: probes
// after 15 s of silence, and a limit for bytes that are not acknowledged
// (PROTOCOL.md §8).
func tune(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		// A connection that refuses an option still works; yamux has its own pings.
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3})
		limitUnacked(tcp)
	}
}

// patient lets a connection that is one lane be one of whose bytes its peer takes
// none for as long as it likes: nobody else's are behind them, as on yamux, which is
// read all the time.
func (s *Server) patient(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		sock.Attend(tcp, unackedTime, func(d time.Duration, f func()) { s.alarms.AfterFunc(d, f) })
	}
}
