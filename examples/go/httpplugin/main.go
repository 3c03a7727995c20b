// Httpplugin is an HTTP server without a port, and with a path its client.
//
//	go run ./examples/go/httpplugin &
//	go run ./examples/go/httpplugin /hello
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

const name = "org.example.http"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := client.Dial(ctx, client.Config{Key: shs.GenerateKey()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	do := serve
	if len(os.Args) > 1 {
		do = get
	}
	if err := do(ctx, c); err != nil && err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, c *client.Client) error {
	ln, err := c.Listen(ctx, name)
	if err != nil {
		return err
	}
	fmt.Println("serving http as", name)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s, you are %s\n", r.URL.Path, r.RemoteAddr) // the caller's proven key
	})}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	return srv.Serve(ln)
}

func get(_ context.Context, c *client.Client) error {
	hc := http.Client{Transport: &http.Transport{DialContext: c.DialContext}}
	res, err := hc.Get("http://" + name + os.Args[1])
	if err == nil {
		defer res.Body.Close()
		_, err = io.Copy(os.Stdout, res.Body)
	}
	return err
}
