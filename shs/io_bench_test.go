package shs

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkUnix moves bytes one way over a Unix socket, written by Write or
// TryWrite and read by Read or Next.
func BenchmarkUnix(b *testing.B) {
	for _, mode := range []Mode{Box, Plain} {
		for _, size := range []int{64, 4 << 10, 64 << 10, 128 << 10} {
			for _, in := range []bool{false, true} {
				b.Run(fmt.Sprintf("%v/%d/%s", mode, size, map[bool]string{false: "copied", true: "inplace"}[in]), func(b *testing.B) {
					benchUnix(b, mode, size, in)
				})
			}
		}
	}
}

func benchUnix(b *testing.B, mode Mode, size int, inPlace bool) {
	rawClient, rawServer := socketPair(b, "unix", filepath.Join(b.TempDir(), "s"))
	client, server := connect(b, mode, rawClient, rawServer)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for err := error(nil); err == nil; {
			if inPlace {
				_, _, err = server.Next()
			} else {
				_, err = server.Read(buf)
			}
		}
	}()
	text := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if inPlace {
			if left, err := client.TryWrite(text); err != nil {
				b.Fatal(err)
			} else if left {
				if err := client.Flush(); err != nil {
					b.Fatal(err)
				}
			}
		} else if _, err := client.Write(text); err != nil {
			b.Fatal(err)
		}
	}
	client.CloseWrite()
	<-done
}
