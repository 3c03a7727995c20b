//go:build fault

package fault_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// SiegeArgs describe a flood of connections.
type SiegeArgs struct {
	Address string
	From    []string // local addresses, in turn
	N       int      // connections in all
	Rate    int      // per second; 0 is as fast as it goes
	Say     []byte   // what each sends before it stalls
}

// SiegeState is how far a flood has come.
type SiegeState struct {
	Made, Failed int64 // connections
	Open         int64 // of these not closed by the server
	Heard        int64 // bytes from the server
	Over         bool  // all are made
}

// siege is a flood of an Agent.
type siege struct {
	ctx                       context.Context
	stop                      context.CancelFunc
	wg                        sync.WaitGroup
	made, failed, open, heard atomic.Int64
	over                      atomic.Bool
}

// Siege begins a flood.
func (a *Agent) Siege(args SiegeArgs, _ *None) error {
	a.besiege(func(s *siege) { s.run(args) })
	return nil
}

// besiege begins a flood of one kind.
func (a *Agent) besiege(flood func(*siege)) {
	s := new(siege)
	s.ctx, s.stop = context.WithCancel(context.Background())
	a.mu.Lock()
	a.siege = s
	a.mu.Unlock()
	s.wg.Go(func() {
		defer s.over.Store(true)
		flood(s)
	})
}

// run makes the connections, several at a time.
func (s *siege) run(args SiegeArgs) {
	var next atomic.Int64
	began := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 32 {
		wg.Go(func() {
			for s.ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= args.N {
					return
				}
				if args.Rate > 0 {
					select {
					case <-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(args.Rate)))):
					case <-s.ctx.Done():
						return
					}
				}
				conn, err := dialFrom(s.ctx, args.From[i%len(args.From)], args.Address)
				if err != nil {
					s.failed.Add(1)
					continue
				}
				s.made.Add(1)
				s.wg.Go(func() { s.stall(conn, args.Say) })
			}
		})
	}
}

// stall says something, and waits until the server closes.
func (s *siege) stall(conn net.Conn, say []byte) {
	defer conn.Close()
	s.open.Add(1)
	defer s.open.Add(-1)
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	if _, err := conn.Write(say); err != nil {
		return
	}
	n, _ := io.Copy(io.Discard, conn)
	s.heard.Add(n)
}

func dialFrom(ctx context.Context, from, to string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return d.DialContext(ctx, "tcp", to)
}

// Besieged is how the flood is.
func (a *Agent) Besieged(_ None, state *SiegeState) error {
	a.mu.Lock()
	s := a.siege
	a.mu.Unlock()
	*state = SiegeState{s.made.Load(), s.failed.Load(), s.open.Load(), s.heard.Load(), s.over.Load()}
	return nil
}

// Lift ends the flood, and closes what is left of it.
func (a *Agent) Lift(_ None, _ *None) error {
	a.mu.Lock()
	s := a.siege
	a.mu.Unlock()
	s.stop()
	s.wg.Wait()
	return nil
}

// LoginArgs say who logs in, how often.
type LoginArgs struct {
	Address, From string
	Server        [32]byte
	Seed          [32]byte
	N             int  // at once
	Once          bool // try once, not until it succeeds
}

// LoginState is what came of logins.
type LoginState struct {
	Took  []time.Duration
	Tries int
	Errs  []string // of those that did not succeed
}

// Login logs in N times at once, over and over until it succeeds or 10 s have
// passed, and says how long each took.
func (a *Agent) Login(args LoginArgs, state *LoginState) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range args.N {
		wg.Go(func() {
			began := time.Now()
			var err error
			tries := 0
			for err = errors.New("none"); err != nil && ctx.Err() == nil && (tries == 0 || !args.Once); tries++ {
				if tries > 0 {
					<-time.After(100 * time.Millisecond) // less often than a source may
				}
				err = loginOnce(ctx, args)
			}
			mu.Lock()
			defer mu.Unlock()
			state.Tries += tries
			if err != nil {
				state.Errs = append(state.Errs, err.Error())
				return
			}
			state.Took = append(state.Took, time.Since(began))
		})
	}
	wg.Wait()
	return nil
}

func loginOnce(ctx context.Context, args LoginArgs) error {
	conn, err := dialFrom(ctx, args.From, args.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	return shs.Client(conn, &shs.Config{Key: shs.NewPrivateKey(args.Seed), ServerKey: args.Server}).Handshake(ctx)
}

// Barred reports whether the server closes a connection before it has sent
// anything.
func (a *Agent) Barred(args LoginArgs, barred *bool) error {
	conn, err := dialFrom(context.Background(), args.From, args.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	var late net.Error
	*barred = err != nil && (!errors.As(err, &late) || !late.Timeout())
	return nil
}
