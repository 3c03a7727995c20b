package shs

import (
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"
)

func TestPeek(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server *Conn) {
		check := func(n int, want string, wantErr error) {
			t.Helper()
			got, err := server.Peek(n)
			if string(got) != want || !errors.Is(err, wantErr) {
				t.Errorf("Peek(%d): got %q, %v, want %q, %v", n, got, err, want, wantErr)
			}
		}
		read := func(n int, want string) {
			t.Helper()
			buf := make([]byte, n)
			if n, err := server.Read(buf); string(buf[:n]) != want || err != nil {
				t.Errorf("Read: got %q, %v, want %q", buf[:n], err, want)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() { client.WriteBuffers([]byte("ab"), []byte("cdefg")) })
		check(1, "a", nil)
		check(4, "abcd", nil)
		read(3, "abc")
		check(3, "def", nil)
		read(10, "def")
		if _, err := server.Peek(maxPeek + 1); err == nil {
			t.Error("Peek takes more than its limit")
		}
		server.SetReadDeadline(time.Now().Add(time.Second))
		check(2, "g", os.ErrDeadlineExceeded)
		server.SetReadDeadline(time.Time{})
		check(1, "g", nil)
		wg.Wait()
		wg.Go(func() { client.CloseWrite() })
		check(5, "g", io.EOF)
		check(5, "g", io.EOF)
		read(10, "g")
		check(1, "", io.EOF)
		wg.Wait()
	})
}

func TestPeekCut(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server *Conn) {
		go func() {
			client.Write([]byte("xy"))
			client.Abort()
		}()
		if got, err := server.Peek(3); string(got) != "xy" || err != io.ErrUnexpectedEOF {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
