// Switchboard is the server: programs connect to it with their own keys, claim
// names, see each other come and go, and talk over channels.
//
// Run it without arguments; `switchboard --help` tells the rest.
package main

import (
	"os"

	"github.com/cad2f06c/switchboard/cmd/internal/daemon"
)

func main() { os.Exit(daemon.Main()) }
