//go:build linux

// Side shows the switchboard, dbus-daemon and dbus-broker side by side under a
// receiver that takes nothing, a crowd of connections that never log in, and too few
// descriptors: who is cut, who waits, and what it costs. README.md of bench has what
// it said last. It needs no systemd, and installs Debian's packages if they are
// missing and it may.
//
//	go run ./bench/side [-for 5s] [-only dbus-broker]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cad2f06c/switchboard/shs"
)

func main() {
	length := flag.Duration("for", 5*time.Second, "how long each scene goes on")
	only := flag.String("only", "", "one server: switchboard, dbus-daemon or dbus-broker")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *only, *length); err != nil {
		fmt.Fprintln(os.Stderr, "side:", err)
		os.Exit(1)
	}
}

// run runs all scenes and prints the table.
func run(ctx context.Context, w io.Writer, only string, length time.Duration) error {
	for _, name := range []string{daemon, broker} {
		if err := install(ctx, name); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp("", "side")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	program := filepath.Join(work, ours)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/cad2f06c/switchboard/cmd/switchboard").CombinedOutput(); err != nil {
		return fmt.Errorf("building the server: %w\n%s", err, out)
	}
	fmt.Fprintf(w, "%s, %s\n\n", time.Now().UTC().Format(time.DateOnly), machine())
	fmt.Fprintln(w, "| scene | server | the culprits | neighbours' rounds | newcomers' logins | resident before, at most | of a processor | and then |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|")
	for _, scene := range []struct {
		files int
		run   func(*server) (row, error)
	}{
		{many, func(s *server) (row, error) { return s.slowReader(ctx, length) }},
		{many, func(s *server) (row, error) {
			return s.flood(ctx, fmt.Sprintf("%d connections that stall", stallers), stallers, length)
		}},
		{scarce, func(s *server) (row, error) {
			return s.flood(ctx, fmt.Sprintf("%d of these, %d descriptors", besiege, scarce), besiege, length)
		}},
	} {
		for _, kind := range []string{ours, daemon, broker} {
			if only != "" && only != kind {
				continue
			}
			r, err := once(ctx, kind, program, work, scene.files, scene.run)
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			r.print(w)
		}
	}
	return ctx.Err()
}

// once runs a scene at a fresh server.
func once(ctx context.Context, kind, program, work string, files int, f func(*server) (row, error)) (row, error) {
	s, err := start(ctx, kind, program, work, files)
	if err != nil {
		return row{}, err
	}
	defer s.stop()
	for range 20 { // it has worked before
		if err := s.login(ctx); err != nil {
			return row{}, err
		}
	}
	return f(s)
}

func (r *row) print(w io.Writer) {
	then := r.note
	if !r.alive {
		then += "; **the server is dead**"
	}
	fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %.1f, %.1f MiB | %.0f %% | %s |\n", r.scene, r.server, r.culprit, r.neighbour, r.newcomer,
		float64(r.before)/(1<<20), float64(r.most)/(1<<20), 100*r.used.Seconds()/r.length.Seconds(), then)
}

// install gets a Debian package whose command is missing.
func install(ctx context.Context, name string) error {
	if _, err := exec.LookPath(name); err == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s is missing; please install it", name)
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", name}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %q: %w\n%s", args, err, out)
		}
	}
	_, err := exec.LookPath(name)
	return err
}

// machine is what the figures were measured on.
func machine() string {
	var info unix.Sysinfo_t
	var name unix.Utsname
	if errors.Join(unix.Sysinfo(&info), unix.Uname(&name)) != nil {
		return "machine unknown"
	}
	return fmt.Sprintf("%d cores, %d GiB, Linux %s, load %.1f before", runtime.NumCPU(), info.Totalram*uint64(info.Unit)>>30,
		unix.ByteSliceToString(name.Release[:]), float64(info.Loads[0])/65536)
}

// address makes a key for a server of ours, and says where it will be.
func address(path, key string) (string, error) {
	k, err := shs.CreateKey(key)
	if err != nil {
		return "", err
	}
	return shs.Address{Network: "unix", Addr: path, Key: k.Public()}.String(), nil
}
