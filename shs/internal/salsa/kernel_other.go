//go:build !amd64 || purego

package salsa

// offers says whether this machine has what a path needs.
func offers(p Path) bool { return p == Portable }

// xorChunks is not reached: there is no path but Portable.
func xorChunks(Path, []byte, []byte, *[32]byte, *lanes) {}
