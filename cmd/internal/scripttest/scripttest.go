// Package scripttest runs test scripts (testscript) with the real switchboard
// and sbctl in them. Only tests import it.
//
// Beside testscript's own commands a script has:
//
//	waitfor FILE [TEXT]     until FILE is there, is not empty and holds TEXT
//	waitgone FILE           until FILE is not there
//	waitlist TEXT           until `sbctl --key k list` prints TEXT
//	setenv VAR FILE         VAR = the text of FILE
//	exits CODE CMD ARG…     run CMD, which must end with exit code CODE
//
// and the programs `activate ADDR CMD…`, which runs CMD as systemd's socket
// activation would, and `mute CMD…`, which runs it with stdout and stdin closed.
package scripttest

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cad2f06c/switchboard/cmd/internal/ctl"
	"github.com/cad2f06c/switchboard/cmd/internal/daemon"
)

// Main runs m's tests; scripts in them may run the programs, and those in more.
func Main(m *testing.M, more map[string]func()) {
	programs := map[string]func(){
		"switchboard": func() { os.Exit(daemon.Main()) },
		"sbctl":       func() { os.Exit(ctl.Main()) },
		"activate":    func() { os.Exit(activate(os.Args[1], os.Args[2:])) },
		"mute":        func() { os.Exit(mute(os.Args[1:])) },
	}
	maps.Copy(programs, more)
	testscript.Main(m, programs)
}

// Run runs the scripts of a folder.
func Run(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each program takes a second to end
			env.Setenv("HOME", env.WorkDir+"/home")
			return os.Mkdir(env.WorkDir+"/home", 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfor":  waitFor,
			"waitgone": waitGone,
			"waitlist": waitList,
			"setenv":   setenv,
			"exits":    exits,
		},
	})
}

// poll asks until done says yes, for at most a minute: on a busy machine a
// program takes its time to start.
func poll(ts *testscript.TestScript, what string, done func() bool) {
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("waited a minute for %s", what)
		}
	}
}

func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: waitfor FILE [TEXT]")
	}
	var text []byte
	poll(ts, strings.Join(args, " "), func() bool {
		text, _ = os.ReadFile(ts.MkAbs(args[0]))
		return len(text) > 0 && (len(args) == 1 || strings.Contains(string(text), args[1]))
	})
}

func waitGone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitgone FILE")
	}
	poll(ts, "the end of "+args[0], func() bool {
		_, err := os.Lstat(ts.MkAbs(args[0]))
		return os.IsNotExist(err)
	})
}

func waitList(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitlist TEXT")
	}
	poll(ts, args[0]+" in the list", func() bool {
		var out strings.Builder
		cmd := exec.Command("sbctl", "--key", "k", "list")
		cmd.Dir, cmd.Stdout = ts.Getenv("WORK"), &out
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "SWITCHBOARD_ADDRESS="+ts.Getenv("SWITCHBOARD_ADDRESS"))
		return cmd.Run() == nil && strings.Contains(out.String(), args[0])
	})
}

func setenv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setenv VAR FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE CMD [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// activate becomes a command to which a listening socket was passed.
func activate(addr string, args []string) int {
	network, rest, _ := strings.Cut(addr, ":")
	ln, err := net.Listen(network, rest)
	if err != nil {
		return complain(err)
	}
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return complain(err)
	}
	if err := dup2(int(f.Fd()), 3); err != nil { // without close-on-exec
		return complain(err)
	}
	env := append(os.Environ(), "LISTEN_FDS=1", "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	path, err := exec.LookPath(args[0])
	if err != nil {
		return complain(err)
	}
	return complain(syscall.Exec(path, args, env))
}

// mute becomes a command that has neither stdin nor stdout.
func mute(args []string) int {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return complain(err)
	}
	syscall.Close(0)
	syscall.Close(1)
	return complain(syscall.Exec(path, args, os.Environ()))
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
