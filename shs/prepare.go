package shs

import (
	"context"

	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

// Prepared is what handshakes with one PrivateKey need to work out only once: the
// key's form for the exchange, and those of the peers who have proven theirs or
// stood in an address, 1,024 at most. It also holds ephemeral keys made ahead. It is safe for
// concurrent use; a server, or a client that connects often, makes one and sets it
// in each Config.
type Prepared struct {
	key PrivateKey
	id  *shs1.Identity
}

// Prepare prepares for handshakes with key.
func Prepare(key PrivateKey) *Prepared {
	return &Prepared{key: key, id: shs1.NewIdentity(key.pair[:])}
}

// ParseAddresses is ParseAddresses for who will dial them with p: the check of a
// good key is done once, here or in a handshake before.
func (p *Prepared) ParseAddresses(s string) ([]Address, error) {
	return parseAddresses(s, func(k PublicKey) error { return p.id.Expect(k) })
}

// Run makes ephemeral keys, 16 at most, while there are no handshakes, so that
// the next ones need not wait for it. Each is used once. Run returns when ctx
// ends, and forgets those that are left.
func (p *Prepared) Run(ctx context.Context) { p.id.MakeAhead(ctx) }

// identity is the prepared key, or Key prepared for this handshake.
func (c *Config) identity() *shs1.Identity {
	if c.Prepared != nil {
		return c.Prepared.id
	}
	return shs1.NewIdentity(c.Key.pair[:])
}
