package muxrpc_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// tcpConn makes a session's conn of a TCP connection.
type tcpConn struct{ *net.TCPConn }

func (c tcpConn) Abort() error {
	_ = c.SetLinger(0) // the peer reads a reset, not an end
	return c.Close()
}

func tcpPair() (a, b tcpConn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return a, b, err
	}
	defer ln.Close()
	dialled, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return a, b, err
	}
	accepted, err := ln.Accept()
	if err != nil {
		return a, b, err
	}
	return tcpConn{dialled.(*net.TCPConn)}, tcpConn{accepted.(*net.TCPConn)}, nil
}

func Example() {
	here, there, err := tcpPair()
	if err != nil {
		fmt.Println(err)
		return
	}
	server := muxrpc.NewSession(there, muxrpc.Config{Handler: muxrpc.HandlerFunc(func(c *muxrpc.Call) {
		switch {
		case c.Name() == "add" && c.Type() == "async":
			c.Reply(3)
		case c.Name() == "count" && c.Type() == "source":
			c.Go(func() {
				for i := range 3 {
					if c.Stream().Send(i) != nil {
						return
					}
				}
				c.Stream().CloseSend(nil)
			})
		default:
			c.Fail(&muxrpc.RemoteError{Name: "Error", Message: "no such method"})
		}
	})})
	defer server.Close()
	client := muxrpc.NewSession(here, muxrpc.Config{})
	defer client.Close()

	ctx := context.Background()
	var sum int
	fmt.Println(client.Call(ctx, "add", []int{1, 2}, &sum), sum)
	fmt.Println(client.Call(ctx, "sub", nil, nil))
	st, err := client.Open(ctx, "source", "count", nil)
	for err == nil {
		var body []byte
		if body, _, err = st.Recv(ctx); err == nil {
			fmt.Println(string(body))
		}
	}
	fmt.Println(err == io.EOF)
	fmt.Println(client.Goodbye(ctx), client.Err())
	// Output:
	// <nil> 3
	// Error: no such method
	// 0
	// 1
	// 2
	// true
	// <nil> EOF
}
