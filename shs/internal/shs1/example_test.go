package shs1_test

import (
	"crypto/ed25519"
	"fmt"
	"net"

	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

func Example() {
	key := func(seed byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(append(make([]byte, 31), seed))
	}
	network := [][32]byte{{1, 2, 3}}
	a, b := net.Pipe()
	done := make(chan *shs1.Session)
	go func() {
		s, err := shs1.Server(b, &shs1.Config{Key: shs1.NewIdentity(key(1)), Networks: network})
		if err != nil {
			fmt.Println(err)
		}
		done <- s
	}()
	server := key(1).Public().(ed25519.PublicKey)
	client, err := shs1.Client(a, &shs1.Config{Key: shs1.NewIdentity(key(2)), Networks: network, ServerKey: [32]byte(server)})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := <-done
	fmt.Println(client.Write == s.Read, client.Read == s.Write, client.Write == client.Read)
	// Output: true true false
}
