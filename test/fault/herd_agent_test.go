//go:build fault

package fault_test

import (
	"context"
	"net"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// HerdArgs describe many plugins: the address of the server, and of each where it
// comes from and whose it is.
type HerdArgs struct {
	Address string
	From    []string
	Seeds   [][32]byte
}

// Herd logs them in, until the process ends.
func (a *Agent) Herd(args HerdArgs, _ *None) error {
	ctx, cancel := context.WithTimeout(context.Background(), slow*time.Minute)
	defer cancel()
	for i, seed := range args.Seeds {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(args.From[i])}}
		c, err := client.Dial(ctx, client.Config{Address: args.Address, Key: shs.NewPrivateKey(seed), Dial: d.DialContext})
		if err != nil {
			return err
		}
		a.herd = append(a.herd, c)
	}
	return nil
}
