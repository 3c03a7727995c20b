package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

// crowd is a policy of n peers with 20 rules each, and for each a decision that
// its last rule allows.
func crowd(tb testing.TB, n int) (*policy.Policy, []*policy.Grant, []policy.Object) {
	tb.Helper()
	var text strings.Builder
	keys := make([]policy.Key, n)
	for i := range keys {
		keys[i] = policy.Key{byte(i), byte(i >> 8), 31: 1}
		var talk []string
		for j := range 16 {
			talk = append(talk, fmt.Sprintf("org.example.part%d.service%d", i, j))
		}
		talk = append(talk, "org.*.log", "org.example.*.status", "beta/org.store.**", fmt.Sprintf("org.example.part%d.last.**", i))
		fmt.Fprintf(&text, "%s level=basic talk=%s\n", policy.KeyText(keys[i]), strings.Join(talk, ","))
	}
	p := listed(tb, text.String())
	var grants []*policy.Grant
	var objects []policy.Object
	for i, k := range keys {
		grants = append(grants, admit(tb, p, k, policy.Far))
		objects = append(objects, owned(names.Name(fmt.Sprintf("org.example.part%d.last.thing", i)), policy.Trusted))
	}
	return p, grants, objects
}

// A decision beside one look-up in a map of as many names, in turns of 1,000; the
// figures are those of the median turn.
func BenchmarkAuthorize(b *testing.B) {
	p, grants, objects := crowd(b, 1000)
	registry := make(map[names.Name]int)
	for i, o := range objects {
		registry[o.Name] = i
	}
	deciding, looking := make([]time.Duration, 0, 1<<17), make([]time.Duration, 0, 1<<17) // so that the loop allocates nothing
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		for i := range grants {
			if !p.Authorize(grants[i], policy.Talk, objects[i]).Allowed {
				b.Fatal("denied")
			}
		}
		between := time.Now()
		for i := range objects {
			if registry[objects[i].Name] != i {
				b.Fatal("lost")
			}
		}
		deciding, looking = append(deciding, between.Sub(began)), append(looking, time.Since(between))
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2]) / float64(len(grants))
	}
	b.ReportMetric(median(deciding), "ns/decision")
	b.ReportMetric(median(looking), "ns/look-up")
	b.ReportMetric(median(deciding)/median(looking), "look-ups/decision")
	b.ReportMetric(0, "ns/op")
}

// What a server decides most: one peer, one name, again and again; and names that
// cross a border.
func BenchmarkAuthorizeOne(b *testing.B) {
	p, grants, objects := crowd(b, 1000)
	cfg := policy.Defaults()
	cfg.Peers = peers(b, line(1, "level=verified tenant=acme"))
	cfg.Tenants = map[string]policy.Tenant{"": tenant(b, "org.example.** -> acme", ""), "acme": tenant(b, "", "default/org.**")}
	across := compile(b, cfg)
	denied := objects[1]
	denied.Name = "org.example.part0.last"
	for _, row := range []struct {
		name    string
		policy  *policy.Policy
		grant   *policy.Grant
		object  policy.Object
		allowed bool
	}{
		{"allowed", p, grants[0], objects[0], true},
		{"denied", p, grants[0], denied, false},
		{"across", across, admit(b, across, key(1), policy.Far), objects[0], true},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if row.policy.Authorize(row.grant, policy.Talk, row.object).Allowed != row.allowed {
					b.Fatal("decided otherwise")
				}
			}
		})
	}
}

// What a reload of 1,000 peers with 20 rules costs.
func BenchmarkNew(b *testing.B) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "%s talk=**", policy.KeyText(policy.Key{byte(i), byte(i >> 8), 31: 1}))
		for j := range 19 {
			fmt.Fprintf(&text, ",org.example.service%d", j)
		}
		text.WriteString("\n")
	}
	b.ReportAllocs()
	for b.Loop() {
		listed(b, text.String())
	}
}

// No decision allocates: neither for what is allowed, at home or across, nor for what
// is denied.
func TestAuthorizeAllocates(t *testing.T) {
	p, grants, objects := crowd(t, 10)
	cfg := policy.Defaults()
	cfg.Peers = peers(t, line(1, "admin level=verified tenant=acme"))
	cfg.Tenants = map[string]policy.Tenant{"": tenant(t, "org.example.** -> acme", ""), "acme": tenant(t, "", "default/org.**")}
	across := compile(t, cfg)
	g := admit(t, across, key(1), policy.Far)
	for name, decide := range map[string]func() bool{
		"allowed": func() bool { return p.Authorize(grants[7], policy.Talk, objects[7]).Allowed },
		"denied":  func() bool { return !p.Authorize(grants[7], policy.Talk, objects[8]).Allowed },
		"across":  func() bool { return across.Authorize(g, policy.Talk, objects[8]).Allowed },
		"admin":   func() bool { return across.Authorize(g, policy.Admin, policy.Object{}).Allowed },
		"all":     func() bool { return g.SeesAll("acme") },
	} {
		if n := testing.AllocsPerRun(100, func() {
			if !decide() {
				t.Fatal("decided otherwise")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}
