package shs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/cad2f06c/switchboard/shs"
)

// Two programs that know each other's public keys.
func Example() {
	alice, bob := shs.GenerateKey(), shs.GenerateKey()
	clientEnd, serverEnd := net.Pipe()

	server := shs.Server(serverEnd, &shs.Config{
		Key: bob,
		Authorize: func(client shs.PublicKey, _ shs.Mode) error {
			if client != alice.Public() {
				return errors.New("not on the list")
			}
			return nil
		},
	})
	go func() {
		defer server.Close()
		if text, err := io.ReadAll(server); err == nil {
			fmt.Fprintf(server, "%s yourself", text)
		}
	}()

	client := shs.Client(clientEnd, &shs.Config{Key: alice, ServerKey: bob.Public()})
	defer client.Close()
	if err := client.Handshake(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("it is bob:", client.RemoteKey() == bob.Public())
	fmt.Fprint(client, "hello")
	client.CloseWrite() // the server reads the end, and may still answer
	answer, err := io.ReadAll(client)
	fmt.Println(string(answer), err)
	// Output:
	// it is bob: true
	// hello yourself <nil>
}

func ExampleParseAddresses() {
	addrs, err := shs.ParseAddresses("unix:/run/switchboard/bus.sock~shs:7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=" +
		";net:bus.example.org:7483~shs:7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range addrs {
		fmt.Println(a.Network, a.Addr, a.Key)
	}
	// Output:
	// unix /run/switchboard/bus.sock @7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519
	// net bus.example.org:7483 @7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519
}
