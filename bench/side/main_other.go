//go:build !linux

// Side runs on Linux alone: it looks at other processes, and starts servers that are
// there alone.
package main

import "os"

func main() { os.Exit(2) }
