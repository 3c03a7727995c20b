package policy_test

import (
	"fmt"
	"strings"

	"github.com/cad2f06c/switchboard/internal/policy"
)

func Example() {
	store, shop := policy.Key{1}, policy.Key{2}
	text := policy.KeyText(store) + " own=org.example.store level=trusted # the store\n" +
		policy.KeyText(shop) + " see=org.** talk=org.example.store level=basic\n"
	peers, err := policy.ParsePeers(strings.NewReader(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := policy.Defaults()
	cfg.Peers = peers
	rules, err := policy.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	grant, err := rules.Authenticate(shop, policy.Far)
	if err != nil {
		fmt.Println(err)
		return
	}
	object := policy.Object{Name: "org.example.store", Owned: true, Owner: policy.Trusted}
	for _, v := range []policy.Verb{policy.See, policy.Talk, policy.Own} {
		d := rules.Authorize(grant, v, object)
		fmt.Println(v, d.Allowed, d.Rule)
	}
	// Output:
	// see true authorized_peers:2 see=org.**
	// talk true authorized_peers:2 talk=org.example.store
	// own false no rule
}

func ExampleEdit() {
	text := "# who may what\n" + policy.KeyText(policy.Key{1}) + " level=basic  # the build\n"
	edited, err := policy.Edit([]byte(text), policy.Change{
		Action: policy.Set, Key: policy.Key{1},
		Options: []policy.Option{{Name: "level", Value: "trusted"}, {Name: "talk", Value: "org.example.**"}},
	})
	fmt.Printf("%s%v\n", edited, err)
	// Output:
	// # who may what
	// @AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=.ed25519 level=trusted talk=org.example.**  # the build
	// <nil>
}
