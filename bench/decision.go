package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/internal/policy"
)

// crowded is how many peers the policy has, each with 20 rules.
const crowded = 1000

// crowd is a policy of many peers, and for each a decision that the last of its
// rules allows.
type crowd struct {
	policy  *policy.Policy
	grants  []*policy.Grant
	objects []policy.Object
	names   map[string]int // as many, to be looked up
}

func newCrowd() (*crowd, error) {
	c := &crowd{names: make(map[string]int, crowded)}
	var text strings.Builder
	var keys [crowded]policy.Key
	for i := range keys {
		keys[i] = policy.Key{byte(i), byte(i >> 8), 31: 1}
		fmt.Fprintf(&text, "%s level=basic talk=", policy.KeyText(keys[i]))
		for j := range 16 {
			fmt.Fprintf(&text, "org.example.part%d.service%d,", i, j)
		}
		fmt.Fprintf(&text, "org.*.log,org.example.*.status,beta/org.store.**,org.example.part%d.last.**\n", i)
		_, n, err := policy.ParseName("", fmt.Sprintf("org.example.part%d.last.thing", i))
		if err != nil {
			return nil, err
		}
		c.objects = append(c.objects, policy.Object{Name: n, Owner: policy.Trusted, Owned: true})
		c.names[string(n)] = i
	}
	cfg := policy.Defaults()
	var err error
	if cfg.Peers, err = policy.ParsePeers(strings.NewReader(text.String())); err != nil {
		return nil, err
	}
	if c.policy, err = policy.New(cfg); err != nil {
		return nil, err
	}
	for _, k := range keys {
		g, err := c.policy.Authenticate(k, policy.Far)
		if err != nil {
			return nil, err
		}
		c.grants = append(c.grants, g)
	}
	return c, nil
}

// decisions is what one of the server's decisions takes, in ns, and one look-up in
// a map of as many names: medians of turns of 1,000 each.
func decisions(d time.Duration) (map[string]float64, error) {
	c, err := newCrowd()
	if err != nil {
		return nil, err
	}
	turns := map[string][]float64{}
	for end := time.Now().Add(d); time.Now().Before(end); {
		began, right := time.Now(), 0
		for i, g := range c.grants {
			if c.policy.Authorize(g, policy.Talk, c.objects[i]).Allowed {
				right++
			}
		}
		between := time.Now()
		for i := range c.objects {
			if c.names[string(c.objects[i].Name)] == i {
				right++
			}
		}
		if right != 2*crowded {
			return nil, errors.New("a decision, or a look-up, went wrong")
		}
		turns["decide"] = append(turns["decide"], float64(between.Sub(began))/crowded)
		turns["look_up"] = append(turns["look_up"], float64(time.Since(between))/crowded)
	}
	return map[string]float64{"decide": median(turns["decide"]), "look_up": median(turns["look_up"])}, nil
}
