// Gib sends 1 GiB each way at once through a relayed channel, and prints
// whether the hashes are equal and by how much the server's memory has grown.
// The server is a process of its own.
//
//	go run ./bench/gib
//	go run ./bench/gib -mode box -single -size 256
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

const name = "org.example.gib"

func main() {
	mode := flag.String("mode", "plain", "plain or box")
	single := flag.Bool("single", false, "connections that are one lane, instead of yamux")
	size := flag.Int64("size", 1024, "MiB each way")
	maxGrowth := flag.Int64("max", 32, "fail if the server's memory grows by more MiB")
	flag.Parse()
	if err := run(*mode, *single, *size<<20, *maxGrowth<<20); err != nil {
		log.Fatal(err)
	}
}

func run(mode string, single bool, size, maxGrowth int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "gib")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	srv, address, err := startServer(ctx, dir)
	if err != nil {
		return err
	}
	defer func() {
		srv.Process.Signal(os.Interrupt)
		srv.Wait()
	}()

	cfg := client.Config{Address: address, Direct: client.DirectNever, SingleLane: single, Unmonitored: true, Mode: map[string]client.Mode{"plain": client.ModePlain, "box": client.ModeBox}[mode]}
	a, b, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	if err := exchange(a, b, 1<<20, 1); err != nil { // warm up
		return err
	}
	before, began := rss(srv.Process.Pid), time.Now()
	if err := exchange(a, b, size, 2); err != nil {
		return err
	}
	peak := rss(srv.Process.Pid)
	took := time.Since(began)
	fmt.Printf("%s single=%v: %d MiB each way in %v (%.0f MB/s both ways), hashes equal; server memory %.1f -> %.1f MiB peak (grew %.1f)\n",
		mode, single, size>>20, took.Round(time.Millisecond), float64(2*size)/took.Seconds()/1e6,
		mib(before), mib(peak), mib(peak-before))
	if peak-before > maxGrowth {
		return fmt.Errorf("the server's memory grew by %.1f MiB, more than %.0f", mib(peak-before), mib(maxGrowth))
	}
	return nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// startServer builds and starts the command, and waits for its address file.
func startServer(ctx context.Context, dir string) (*exec.Cmd, string, error) {
	bin := filepath.Join(dir, "switchboard")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/switchboard").CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("building the server: %w\n%s", err, out)
	}
	file := filepath.Join(dir, "address")
	srv := exec.CommandContext(ctx, bin, "--listen", "unix:"+filepath.Join(dir, "bus.sock"),
		"--key", filepath.Join(dir, "server.key"), "--address-file", file, "--log-level", "warn")
	srv.Stderr = os.Stderr
	if err := srv.Start(); err != nil {
		return nil, "", err
	}
	for range 500 {
		if raw, err := os.ReadFile(file); err == nil {
			return srv, strings.TrimSpace(string(raw)), nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, "", fmt.Errorf("the server wrote no address file in 5 s")
}

// connect opens a channel between two clients and returns both ends. It keeps
// the clients for the life of the process.
func connect(ctx context.Context, cfg client.Config) (caller, callee *channel.Conn, err error) {
	cfg.Key = shs.GenerateKey()
	plugin, err := client.Dial(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	ln, err := plugin.Listen(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	cfg.Key = shs.GenerateKey()
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	conn, err := c.DialContext(ctx, "", name)
	if err != nil {
		return nil, nil, err
	}
	other, err := ln.Accept()
	if err != nil {
		return nil, nil, err
	}
	return conn.(*channel.Conn), other.(*channel.Conn), nil
}

// exchange sends size random bytes each way at once and compares hashes.
func exchange(a, b net.Conn, size int64, seed byte) error {
	var wg sync.WaitGroup
	errs := make([]error, 4)
	sums := make([][]byte, 4)
	for i, end := range []struct{ w, r net.Conn }{{a, b}, {b, a}} {
		wg.Go(func() {
			h := sha256.New()
			src := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{seed, byte(i)}), size), h)
			_, errs[2*i] = io.CopyBuffer(struct{ io.Writer }{end.w}, src, make([]byte, 64<<10))
			sums[2*i] = h.Sum(nil)
		})
		wg.Go(func() {
			h := sha256.New()
			_, errs[2*i+1] = io.CopyBuffer(h, struct{ io.Reader }{io.LimitReader(end.r, size)}, make([]byte, 64<<10))
			sums[2*i+1] = h.Sum(nil)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return err
		}
		if string(sums[i]) != string(sums[i^1]) {
			return fmt.Errorf("the hashes of direction %d differ", i/2)
		}
	}
	return nil
}

// rss returns the most memory that a process has had so far, in bytes.
func rss(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		log.Fatal(err)
	}
	var kib int64
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Sscanf(v, "%d kB", &kib)
		}
	}
	return kib << 10
}
