//go:build fault

package fault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// F50: connect, log in, open, talk, close, a hundred thousand times and in every
// mode; then the process holds what it held before, and no goroutine of it waits for
// what nobody can bring any more. That is told by a profile which not every build has.
func TestF50NoLeak(t *testing.T) {
	if pprof.Lookup(leakProfile) == nil {
		withLeakProfile(t)
		return
	}
	never := make(chan int)
	go func() { <-never }() // without it the profile could be one that finds nothing
	t.Cleanup(func() { leaked(t, 1) })
	cycles := times(1000, 100_000)
	tcpKey := shs.GenerateKey()
	echoKey := shs.GenerateKey()
	in := serveInside(t, switchboard.Config{Policy: trusting(t, tcpKey.Public())})
	echo, err := client.Dial(within(t, 10*time.Second), client.Config{Address: in.unix(), Key: echoKey})
	must(t, err)
	ln, err := echo.Listen(within(t, 10*time.Second), "org.example.echo")
	must(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				if _, err := io.Copy(conn, conn); err == nil {
					conn.(*channel.Conn).CloseWrite()
				}
			})
		}
	})
	t.Cleanup(func() { echo.Close(); served.Wait() })
	modes := []client.Config{
		{Address: in.unix(), Mode: client.ModePlain},
		{Address: in.unix(), Mode: client.ModeBox},
		{Address: in.unix(), Mode: client.ModePlain, SingleLane: true},
		{Address: in.unix(), Mode: client.ModeBox, SingleLane: true},
	}
	one := func(i int) error {
		cfg := modes[i%len(modes)]
		cfg.Key = shs.GenerateKey()
		if i%16 == 0 { // few: each leaves a port in TIME_WAIT
			cfg = client.Config{Address: in.tcp(), Key: tcpKey}
		}
		return cycle(cfg, i)
	}
	// The registry remembers its last 4,096 changes: fill that log first.
	for i := range 2100 {
		name := fmt.Sprintf("org.example.cycle%d", i%16)
		if _, err := echo.Claim(within(t, 10*time.Second), name, client.ClaimOptions{Info: "0123456789abcdef"}); err != nil {
			t.Fatal(err)
		}
		must(t, echo.Release(within(t, 10*time.Second), name))
	}
	run := func(from, to int) {
		t.Helper()
		var next atomic.Int64
		next.Store(int64(from))
		var workers sync.WaitGroup
		for range 3 {
			workers.Go(func() {
				for i := int(next.Add(1)) - 1; i < to; i = int(next.Add(1)) - 1 {
					if err := one(i); err != nil {
						t.Errorf("cycle %d: %v", i, err)
						next.Store(int64(to))
					}
				}
			})
		}
		workers.Wait()
	}
	run(0, 128)
	base := settle(t, measure(t), 0)
	began := time.Now()
	run(128, 128+cycles)
	now := settle(t, base, 1<<20)
	leaked(t, 1)
	report(t, "F50", "%d cycles in %v: goroutines %d, at the start %d, none leaked but the one left on purpose; descriptors %d, at the start %d; heap %+d KiB",
		cycles, time.Since(began).Round(time.Second), now.goroutines, base.goroutines, now.fds, base.fds, (int64(now.heap)-int64(base.heap))>>10)
}

// leakProfile is the profile of goroutines that can never go on. It is there in
// programs that were built with the experiment leakExperiment.
const (
	leakProfile    = "goroutineleak"
	leakExperiment = "GOEXPERIMENT=goroutineleakprofile"
	leakEnv        = "SWITCHBOARD_FAULT_LEAK" // set in the process that has it
)

// leaked fails the test unless so many goroutines can never go on.
func leaked(t *testing.T, want int) {
	t.Helper()
	profile := pprof.Lookup(leakProfile)
	var stacks bytes.Buffer
	must(t, profile.WriteTo(&stacks, 1)) // looks for them
	if got := profile.Count(); got != want {
		t.Errorf("%d goroutines can never go on, want %d:\n%s", got, want, &stacks)
	}
}

// withLeakProfile runs the test, and nothing else, in a build of this program that has
// the profile.
func withLeakProfile(t *testing.T) {
	t.Helper()
	if os.Getenv(leakEnv) != "" {
		t.Fatalf("built with %s, and there is no profile %s: this toolchain lacks it", leakExperiment, leakProfile)
	}
	bin := filepath.Join(room(t), "fault.test")
	build := exec.CommandContext(within(t, 3*time.Minute), "go", "test", "-c", "-tags", "fault", "-o", bin, ".")
	build.Env = append(os.Environ(), leakExperiment)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with %s, which takes Go 1.26: %v\n%s", leakExperiment, err, out)
	}
	again := exec.CommandContext(within(t, 10*time.Minute), bin, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.count", "1")
	again.Env = append(os.Environ(), leakEnv+"=1")
	out, err := again.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// cycle is one visit of a client.
func cycle(cfg client.Config, i int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), slow*20*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if i%8 == 0 {
		if _, err := c.Claim(ctx, fmt.Sprintf("org.example.visitor%d", i), client.ClaimOptions{Info: "0123456789abcdef"}); err != nil {
			return err
		}
	}
	conn, err := c.Open(ctx, "org.example.echo", client.OpenOptions{})
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make([]byte, 100)
	flow(i).fill(sent, 0)
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	if i%32 == 5 { // some leave without a word
		return conn.Abort()
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%d bytes came back of %d, or others", len(got), len(sent))
	}
	return nil
}
