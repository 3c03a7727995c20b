//go:build fault

package fault_test

import (
	"crypto/sha256"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// closing notes when the last byte was sent, and when the end came.
type closing struct {
	net.Conn
	heard int
	sent  time.Time
	took  time.Duration
}

func (c *closing) Write(p []byte) (int, error) {
	c.sent = time.Now() // not behind it: the server may be faster than who writes
	return c.Conn.Write(p)
}

func (c *closing) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.heard += n
	if err != nil && c.took == 0 {
		c.took = time.Since(c.sent)
	}
	return n, err
}

// F06: a prober with another network key, one that does not know the server's
// key, and one whose key is not admitted get 0, 64 and 64 bytes and a closed
// connection; between the last two the time until then tells nothing.
func TestF06Prober(t *testing.T) {
	d, p := startDaemon(t, shs.GenerateKey().Public())
	elsewhere := sha256.Sum256([]byte("another network"))
	kinds := []struct {
		name  string
		heard int
		party func(seed [32]byte) *party
	}{
		{"another network key", 0, func(seed [32]byte) *party {
			a := newParty(seed, p.key)
			a.network = elsewhere[:]
			return a
		}},
		{"a box that does not open", 64, func(seed [32]byte) *party { return newParty(seed, shs.NewPrivateKey([32]byte{6}).Public()) }},
		{"a key that is not admitted", 64, func(seed [32]byte) *party { return newParty(seed, p.key) }},
	}
	var p06, d06 float64
	var took [3][]time.Duration
	for try := 0; try < 3 && p06 <= 0.01; try++ { // chance alone fails one in a hundred, and the machine has other things to do
		took = [3][]time.Duration{}
		for i := range 200 {
			for k, kind := range kinds {
				k = (k + i) % len(kinds)
				kind = kinds[k]
				conn := &closing{Conn: p.dial(t, "tcp")}
				if err := kind.party([32]byte{byte(try), byte(i), byte(k), 1}).client(conn); err == nil {
					t.Fatalf("%s: the server sent message 4", kind.name)
				}
				if conn.took == 0 {
					_, _ = io.Copy(io.Discard, conn)
				}
				if conn.heard != kind.heard || conn.took == 0 || conn.took > atMost(time.Second) {
					t.Errorf("%s: %d bytes, and the end after %v; want %d, at once", kind.name, conn.heard, conn.took, kind.heard)
				}
				conn.Close()
				took[k] = append(took[k], conn.took)
			}
		}
		d06, p06 = kolmogorov(took[1], took[2])
	}
	if p06 <= 0.01 {
		t.Errorf("the time until the end tells a box that does not open, %v (median), from a key that is not admitted, %v: D %.2f, p %.2g",
			percentile(took[1], 50), percentile(took[2], 50), d06, p06)
	}
	if strings.Count(d.log(), "login refused") < 600 {
		t.Errorf("%d refusals are logged", strings.Count(d.log(), "login refused"))
	}
	p.alive(t)
	report(t, "F06", "200 tries each: 0, 64 and 64 bytes, then the end after %v, %v and %v (medians); the last two differ by D %.2f, p %.2f",
		percentile(took[0], 50), percentile(took[1], 50), percentile(took[2], 50), d06, p06)
}

// kolmogorov compares two samples: D, the largest distance of their distributions,
// and how likely one at least as large is if they are of the same (Smirnov's
// limit).
func kolmogorov(a, b []time.Duration) (d, p float64) {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		at := min(a[i], b[j])
		for i < len(a) && a[i] == at {
			i++
		}
		for j < len(b) && b[j] == at {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	n := math.Sqrt(float64(len(a)) * float64(len(b)) / float64(len(a)+len(b)))
	lambda := (n + 0.12 + 0.11/n) * d
	if lambda < 0.2 { // the series does not converge there, and p is 1
		return d, 1
	}
	sign := 1.0
	for k := 1.0; k <= 100; k++ {
		p += 2 * sign * math.Exp(-2*k*k*lambda*lambda)
		sign = -sign
	}
	return d, min(max(p, 0), 1)
}

// F06, of the measure: it tells samples apart of which one is later by a fifth, and
// takes two of one distribution for such.
func TestF06Measure(t *testing.T) {
	sample := func(seed, shift int) (all []time.Duration) {
		for i := range 200 {
			all = append(all, time.Duration(300+(i*seed)%97+shift)*time.Microsecond)
		}
		return all
	}
	if d, p := kolmogorov(sample(31, 0), sample(57, 0)); p < 0.05 {
		t.Errorf("alike: D %.2f, p %.3g", d, p)
	}
	if d, p := kolmogorov(sample(31, 0), sample(57, 60)); p > 1e-6 {
		t.Errorf("60 µs apart: D %.2f, p %.3g", d, p)
	}
	if d, p := kolmogorov(sample(31, 0), sample(31, 0)); d != 0 || p != 1 {
		t.Errorf("the same: D %.2f, p %.3g", d, p)
	}
}
