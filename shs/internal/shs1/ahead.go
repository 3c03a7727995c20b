package shs1

import (
	"context"
	"time"
)

const (
	maxAhead  = 16                    // ephemeral keys that wait for a handshake
	quietTime = 20 * time.Millisecond // without a handshake, before they are made
)

// ahead holds ephemeral keys made while nothing was to be done. A key is in the
// channel or with one handshake, never both, so none is used twice.
type ahead struct {
	keys  chan *keyPair
	taken chan struct{} // one slot: a handshake has begun
}

func newAhead() ahead {
	return ahead{keys: make(chan *keyPair, maxAhead), taken: make(chan struct{}, 1)}
}

// take returns a key that nobody has had, made ahead or now.
func (a *ahead) take() *keyPair {
	select {
	case a.taken <- struct{}{}:
	default:
	}
	select {
	case key := <-a.keys:
		return key
	default:
		return newEphemeral()
	}
}

// MakeAhead makes ephemeral keys for the handshakes to come whenever there has
// been none for 20 ms, until ctx ends. Then it wipes those that are left. One
// goroutine runs it.
func (id *Identity) MakeAhead(ctx context.Context) {
	a := &id.ahead
	defer a.drop()
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.taken:
			quiet.Reset(quietTime)
		case <-quiet.C:
			if len(a.keys) == cap(a.keys) {
				continue // until one is taken
			}
			a.keys <- newEphemeral() // there is room: nobody else fills it
			quiet.Reset(0)
		}
	}
}

// drop wipes all keys.
func (a *ahead) drop() {
	for {
		select {
		case key := <-a.keys:
			key.wipe()
		default:
			return
		}
	}
}
