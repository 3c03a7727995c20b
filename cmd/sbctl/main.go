// Sbctl looks at a switchboard and talks through it: it lists and watches
// names, connects to them, and gives names to programs that know nothing of
// switchboards.
//
// `sbctl --help` lists its verbs and exit codes.
package main

import (
	"os"

	"github.com/cad2f06c/switchboard/cmd/internal/ctl"
)

func main() { os.Exit(ctl.Main()) }
