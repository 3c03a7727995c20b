package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
)

// serve shakes hands with many on a Unix socket, until standard input ends: to start
// a process for each takes far longer than what it does. It writes a line when it
// listens. A connection begins with a
// line, the arguments of the program as they stand above; then comes what standard
// input would carry. What standard output would carry goes back in frames:
//
//	length 1 | that many bytes, at most 255
//	0 | exit code 1                            the last
//
// A panic ends the process, and with it all of them.
func serve(path string, std io.ReadWriter) error {
	ln, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		_, _ = io.Copy(io.Discard, std)
		ln.Close()
	})
	if _, err := io.WriteString(std, "listening\n"); err != nil {
		return err
	}
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		wg.Go(func() {
			defer conn.Close()
			code := byte(0)
			in := bufio.NewReader(conn)
			line, err := in.ReadString('\n')
			if err == nil {
				err = run(strings.Fields(line), struct {
					io.Reader
					io.Writer
				}{in, framed{conn}})
			}
			if err != nil {
				code = 1
			}
			_, _ = conn.Write([]byte{0, code})
		})
	}
}

// framed writes frames.
type framed struct{ w io.Writer }

func (f framed) Write(p []byte) (n int, err error) {
	for n < len(p) {
		size := min(len(p)-n, 255)
		if _, err := f.w.Write(append([]byte{byte(size)}, p[n:n+size]...)); err != nil {
			return n, err
		}
		n += size
	}
	return n, nil
}
