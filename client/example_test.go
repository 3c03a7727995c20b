package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"sync"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// local runs a server in this process and returns how to reach it. A program
// that talks to a server of its machine needs none of this: its Config has a
// Key and nothing else.
func local() (cfg client.Config, stop func()) {
	key := shs.GenerateKey()
	srv, err := switchboard.New(switchboard.Config{Key: key})
	if err != nil {
		log.Fatal(err)
	}
	ln := switchboard.NewLocal()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ctx, ln) })
	cfg = client.Config{
		Address: shs.Address{Network: "net", Addr: "local:1", Key: key.Public()}.String(),
		Key:     shs.GenerateKey(),
		Dial:    ln.DialContext,
	}
	return cfg, func() { cancel(); wg.Wait() }
}

func ExampleDial() {
	cfg, stop := local()
	defer stop()
	ctx := context.Background()

	c, err := client.Dial(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	me, err := c.WhoAmI(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(me.ID == cfg.Key.Public(), len(me.Names))
	// Output: true 0
}

func ExampleClient_Listen() {
	cfg, stop := local()
	defer stop()
	ctx := context.Background()

	plugin, err := client.Dial(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer plugin.Close()
	ln, err := plugin.Listen(ctx, "org.example.greet")
	if err != nil {
		log.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "hello")
	})

	cfg.Key = shs.GenerateKey()
	caller, err := client.Dial(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer caller.Close()
	conn, err := caller.DialContext(ctx, "", "org.example.greet")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	fmt.Println(string(text), err)
	wg.Wait()
	// Output: hello <nil>
}

func ExampleClient_Watch() {
	cfg, stop := local()
	defer stop()
	ctx := context.Background()

	c, err := client.Dial(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Claim(ctx, "org.example.first", client.ClaimOptions{}); err != nil {
		log.Fatal(err)
	}
	for ev, err := range c.Watch(ctx, "org.example.*") {
		if err != nil {
			log.Fatal(err)
		}
		if ev.Type == client.EventSynced { // that was all there is; now for what changes
			if err := c.Release(ctx, "org.example.first"); err != nil {
				log.Fatal(err)
			}
			continue
		}
		fmt.Println(ev.Type, ev.Name)
		if ev.Type == client.EventDisconnected {
			break
		}
	}
	// Output:
	// connected org.example.first
	// disconnected org.example.first
}
