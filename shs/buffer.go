package shs

import "sync"

const (
	bufferSize = maxBatch * maxFrame // 66,080 bytes: a raw read or write at most
	smallSize  = maxFrame + 222      // 4,352 bytes: what half a box waits in
)

// The free buffers of both sizes. They are memory and no state: a Conn has one
// while bytes are under way, and none while it is idle.
var (
	largeBuffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
	smallBuffers = sync.Pool{New: func() any { return new([smallSize]byte) }}
)

// takeBuffer returns a buffer of bufferSize or smallSize bytes.
func takeBuffer(size int) []byte {
	if size == bufferSize {
		return largeBuffers.Get().(*[bufferSize]byte)[:]
	}
	return smallBuffers.Get().(*[smallSize]byte)[:]
}

// giveBuffer takes back what takeBuffer gave. Other slices go with the garbage.
func giveBuffer(b []byte) {
	switch cap(b) {
	case bufferSize:
		largeBuffers.Put((*[bufferSize]byte)(b[:bufferSize]))
	case smallSize:
		smallBuffers.Put((*[smallSize]byte)(b[:smallSize]))
	}
}
