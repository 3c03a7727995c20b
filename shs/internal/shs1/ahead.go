package shs1

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"time"
)

const (
	maxAhead  = 16                    // ephemeral keys that wait for a handshake
	quietTime = 20 * time.Millisecond // without a handshake, before they are made
)

// ahead holds ephemeral keys made while nothing was to be done. A key is in the
// channel or with one handshake, never both, so none is used twice.
type ahead struct {
	keys  chan *ecdh.PrivateKey
	taken chan struct{} // one slot: a handshake has begun
}

func newAhead() ahead {
	return ahead{keys: make(chan *ecdh.PrivateKey, maxAhead), taken: make(chan struct{}, 1)}
}

// take returns a key that nobody has had, made ahead or now.
func (a *ahead) take() (*ecdh.PrivateKey, error) {
	select {
	case a.taken <- struct{}{}:
	default:
	}
	select {
	case key := <-a.keys:
		return key, nil
	default:
		return newEphemeral()
	}
}

func newEphemeral() (*ecdh.PrivateKey, error) { return ecdh.X25519().GenerateKey(rand.Reader) }

// MakeAhead makes ephemeral keys for the handshakes to come whenever there has
// been none for 20 ms, until ctx ends. Then it drops those that are left. One
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
			key, err := newEphemeral()
			if err != nil {
				return // handshakes will say so
			}
			a.keys <- key // there is room: nobody else fills it
			quiet.Reset(0)
		}
	}
}

// drop forgets all keys. crypto/ecdh offers no way to wipe them.
func (a *ahead) drop() {
	for {
		select {
		case <-a.keys:
		default:
			return
		}
	}
}
