// Bench measures the switchboard beside two things that show what the machine
// allows: a bare Unix socket (D), and a relay that joins two of them (R). README.md
// tells how to read and to run it.
//
//	go run ./bench                                   all works, five rounds
//	go run ./bench profile -work conc -mode box -o conc
//	bench server -dir DIR                            a server for a bench of others
//	bench worker box                                 a worker for it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"sync"
	"syscall"

	"github.com/cad2f06c/switchboard/bench/internal/board"
	"github.com/cad2f06c/switchboard/bench/internal/drive"
	"github.com/cad2f06c/switchboard/bench/internal/raw"
)

func main() {
	name, args := "run", os.Args[1:]
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}
	commands := map[string]func([]string) error{
		"run": measure, "profile": profile, "server": serve, "worker": work,
	}
	command, ok := commands[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "bench: no command %q: there are run, profile, server and worker; each takes -h\n", name)
		os.Exit(2)
	}
	if err := command(args); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", name, err)
		os.Exit(1)
	}
}

// serve is one server, until SIGTERM: ours, or the relay of R.
func serve(args []string) error {
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	dir := fs.String("dir", "", "folder for its files, which must be the caller's alone")
	tcp := fs.Bool("tcp", false, "listen on 127.0.0.1 as well, for workers of mode tcp")
	bare := fs.Bool("raw", false, "be the relay of R")
	prof := fs.String("profile", "", "from SIGUSR1 to SIGUSR2 write a CPU profile to `FILE`, then a heap profile to FILE.heap")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("-dir is needed")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var profiling sync.WaitGroup
	defer profiling.Wait()
	defer stop()
	if *prof != "" {
		signals := make(chan os.Signal, 2)
		signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
		profiling.Go(func() {
			if err := profileBetween(ctx, signals, *prof); err != nil {
				fmt.Fprintln(os.Stderr, "bench server:", err)
			}
		})
	}
	ready := func(addr string) { fmt.Println("READY " + addr) }
	if *bare {
		return raw.Relay(ctx, *dir+"/relay.sock", ready)
	}
	return board.Serve(ctx, *dir, *tcp, ready)
}

// profileBetween profiles this process from the first signal to the second, and
// says "PROFILED" when both files are written.
func profileBetween(ctx context.Context, signals <-chan os.Signal, name string) error {
	select {
	case <-signals:
	case <-ctx.Done():
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	select {
	case <-signals:
	case <-ctx.Done():
	}
	pprof.StopCPUProfile()
	heap, err := os.Create(name + ".heap")
	if err == nil {
		runtime.GC()
		err = errors.Join(pprof.WriteHeapProfile(heap), heap.Close())
	}
	fmt.Println("PROFILED")
	return errors.Join(err, f.Close())
}

// work is one worker, driven by its standard input and output.
func work(args []string) error {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	if err := fs.Parse(args); err != nil {
		return err
	}
	var dial drive.Dialer
	var err error
	switch mode := fs.Arg(0); mode {
	case "raw":
		dial = raw.Dial
	case "raw-direct":
		dial = raw.Direct
	case "raw-box":
		dial = raw.Box
	case "", "relay":
		dial, err = board.Dialer("plain")
	default:
		dial, err = board.Dialer(mode)
	}
	if err != nil {
		return err
	}
	return drive.Serve(os.Stdin, os.Stdout, dial)
}
