// Echo is a plugin that sends back what it is sent. Start a switchboard, then
//
//	go run ./examples/go/echo &
//	echo hi | sbctl connect org.example.echo
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, "org.example.echo"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, name string) error {
	c, err := client.Dial(ctx, client.Config{Key: shs.GenerateKey()})
	if err != nil {
		return err
	}
	defer c.Close()
	ln, err := c.Listen(ctx, name)
	if err != nil {
		return err
	}
	fmt.Println("listening as", name)
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var channels sync.WaitGroup
	defer channels.Wait()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		channels.Go(func() {
			defer conn.Close()
			fmt.Println("channel from", conn.RemoteAddr())
			io.Copy(conn, conn) // ends with the caller's half-close
		})
	}
}
