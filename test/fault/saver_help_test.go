//go:build fault

package fault_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// saverEnv is set for a process of the test's own program that makes one change: what,
// the path of authorized_peers, a new key and an old one, and when an invite expires.
const saverEnv = "FAULT_SAVER"

// changes are what a saver makes.
var changes = map[string]func(f peersfile.Files, fresh, old policy.Key, expires string) error{
	"line": func(f peersfile.Files, fresh, _ policy.Key, _ string) error {
		return f.Edit(context.Background(), policy.Change{Action: policy.Add, Key: fresh, Comment: "new"})
	},
	"revocation": func(f peersfile.Files, _, old policy.Key, _ string) error {
		return f.Revoke(context.Background(), old, "lost")
	},
	"invite": func(f peersfile.Files, fresh, _ policy.Key, expires string) error {
		return f.AddInvite(context.Background(), time.Now(), 32, fresh, "new", policy.Option{Name: "expires", Value: expires})
	},
	"redemption": func(f peersfile.Files, fresh, old policy.Key, _ string) error {
		return f.Redeem(context.Background(), time.Now(), old, fresh)
	},
}

// beSaver makes the change, and says when it begins and when it is answered.
func beSaver(args string) error {
	words := strings.Fields(args)
	var keys [2]policy.Key
	for i := range keys {
		key, err := shs.ParsePublicKey(words[2+i])
		if err != nil {
			return err
		}
		keys[i] = policy.Key(key)
	}
	fmt.Println("begin")
	if err := changes[words[0]](peersfile.Beside(words[1]), keys[0], keys[1], words[4]); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}
