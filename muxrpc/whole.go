package muxrpc

import "encoding/binary"

// WholeHead is how many bytes of a packet tell its size.
const WholeHead = 5

// Whole returns the size of a packet of which waits bytes are there, if that is all of it, and 0 else. head is the first [WholeHead]
// bytes.
func Whole(head []byte, waits int) int {
	if waits < headerSize || len(head) < WholeHead {
		return 0
	}
	size := uint64(headerSize) + uint64(binary.BigEndian.Uint32(head[1:WholeHead]))
	if size > uint64(waits) {
		return 0
	}
	return int(size)
}
