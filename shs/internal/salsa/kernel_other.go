//go:build !amd64 || purego

package salsa

// offers says whether this machine has what a path needs.
func offers(p Path) bool { return p == Portable }

// What follows is not reached: there is no path but Portable.

func xorChunks(Path, []byte, []byte, *[32]byte, *lanes)                  {}
func xorMacChunks(Path, []byte, []byte, []byte, *[32]byte, *lanes, *mac) {}

type mac struct{}

func (*mac) init(*[32]byte)                 {}
func (*mac) blocks([]byte)                  {}
func (*mac) sum(*[TagSize]byte, []byte)     {}
func sum(*[TagSize]byte, *[32]byte, []byte) {}
