//go:build fault

package fault_test

import (
	"fmt"
	"io"
	"net"
	"os"
)

// holderEnv is set for a process of the test's own program that connects to a Unix
// socket, and holds the connection.
const holderEnv = "FAULT_HOLDER"

// beHolder says which descriptor it holds, until stdin ends.
func beHolder(path string) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "holder:", err)
		return
	}
	f, err := conn.(*net.UnixConn).File()
	if err != nil {
		fmt.Fprintln(os.Stderr, "holder:", err)
		return
	}
	fmt.Println(f.Fd())
	_, _ = io.Copy(io.Discard, os.Stdin)
}
