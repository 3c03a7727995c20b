package shs

import "sync"

// Sizes of buffers, in bytes.
const (
	smallSize = maxFrame + 222        // 4,352: half a frame waits in it
	readSize  = maxBatch * maxFrame   // 66,080: of one raw read
	writeSize = 2*readSize + maxFrame // 136,290: 128 KiB that TryWrite had to leave fit
)

// The free buffers of each size. They are memory and no state: a Conn has one
// while bytes are under way, and none while it is idle.
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallSize]byte) }}
	readBuffers  = sync.Pool{New: func() any { return new([readSize]byte) }}
	writeBuffers = sync.Pool{New: func() any { return new([writeSize]byte) }}
)

// takeBuffer returns a buffer of one of the sizes.
func takeBuffer(size int) []byte {
	switch size {
	case smallSize:
		return smallBuffers.Get().(*[smallSize]byte)[:]
	case readSize:
		return readBuffers.Get().(*[readSize]byte)[:]
	default:
		return writeBuffers.Get().(*[writeSize]byte)[:]
	}
}

// giveBuffer takes back what takeBuffer gave. Other slices go with the garbage.
func giveBuffer(b []byte) {
	switch cap(b) {
	case smallSize:
		smallBuffers.Put((*[smallSize]byte)(b[:smallSize]))
	case readSize:
		readBuffers.Put((*[readSize]byte)(b[:readSize]))
	case writeSize:
		writeBuffers.Put((*[writeSize]byte)(b[:writeSize]))
	}
}
