package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// stdio is stdin and stdout as the connection of a muxrpc session.
type stdio struct{}

func (stdio) Read(p []byte) (int, error)       { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error)      { return os.Stdout.Write(p) }
func (stdio) SetWriteDeadline(time.Time) error { return nil }
func (stdio) CloseWrite() error                { return os.Stdout.Close() }
func (stdio) Abort() error                     { os.Exit(1); return nil }
func (stdio) Close() error                     { return net.ErrClosed }

// rpcPlugin is a program that serves muxrpc on stdin and stdout: what a script
// gives to expose's exec:.
func rpcPlugin() {
	s := muxrpc.NewSession(stdio{}, muxrpc.Config{Handler: muxrpc.HandlerFunc(serveRPC)})
	<-s.Done()
	if s.Err() != io.EOF {
		os.Exit(1)
	}
	os.Exit(0)
}

func serveRPC(c *muxrpc.Call) {
	switch c.Name() {
	case "add":
		sum := 0
		for _, arg := range c.Args() {
			var n int
			if err := json.Unmarshal(arg, &n); err != nil {
				c.Fail(err)
				return
			}
			sum += n
		}
		c.Reply(sum)
	case "count":
		c.Go(func() {
			for i := range 3 {
				c.Stream().Send(i + 1)
			}
			c.Stream().CloseSend(nil)
		})
	case "fail":
		c.Fail(&muxrpc.RemoteError{Name: "weather", Message: "bad \x1b[31mday\n"})
	case "hang":
		c.Go(func() { <-c.Context().Done() })
	case "die":
		os.Stdout.Close()
		os.Exit(0)
	default:
		c.Fail(&muxrpc.RemoteError{Name: "Error", Message: "no such method"})
	}
}
