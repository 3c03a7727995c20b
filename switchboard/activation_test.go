//go:build unix

package switchboard_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cad2f06c/switchboard/switchboard"
)

// runActivated is the child of TestActivated: it says what it was passed.
func runActivated() int {
	if os.Getenv("LISTEN_PID") == "self" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	lns, err := switchboard.Activated()
	if err != nil {
		fmt.Println("error")
		return 0
	}
	for _, ln := range lns {
		fmt.Print(ln.Addr().Network(), " ")
		ln.Close()
	}
	_, left := os.LookupEnv("LISTEN_FDS")
	// A child of this one must not inherit them: descriptor 3 is closed there.
	leaks := exec.Command("/bin/sh", "-c", "true <&3").Run() == nil
	fmt.Println("env", left, "leaks", leaks)
	return 0
}

func TestActivated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus.sock")
	unixLn, err := net.Listen("unix", path)
	must(t, err)
	defer unixLn.Close()
	tcpLn, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer tcpLn.Close()
	unixFile, err := unixLn.(*net.UnixListener).File()
	must(t, err)
	defer unixFile.Close()
	tcpFile, err := tcpLn.(*net.TCPListener).File()
	must(t, err)
	defer tcpFile.Close()
	plain, err := os.Open(os.DevNull)
	must(t, err)
	defer plain.Close()

	tests := []struct {
		name, pid, fds string
		files          []*os.File
		want           string
	}{
		{"unix and tcp", "self", "2", []*os.File{unixFile, tcpFile}, "unix tcp env false leaks false"},
		{"none", "", "", nil, "env false leaks false"},
		{"another process", "1", "1", []*os.File{unixFile}, "env false leaks true"},
		{"no number", "self", "many", []*os.File{unixFile}, "error"},
		{"too many", "self", "1000000", []*os.File{unixFile}, "error"},
		{"not a socket", "self", "2", []*os.File{unixFile, plain}, "error"},
		{"not there", "self", "9", []*os.File{unixFile}, "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := child(t, "activated", "")
			cmd.ExtraFiles = tt.files
			if tt.pid != "" {
				cmd.Env = append(cmd.Env, "LISTEN_PID="+tt.pid, "LISTEN_FDS="+tt.fds)
			}
			if got := firstLine(t, cmd); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
