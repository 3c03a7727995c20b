package mux_test

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

func Example() {
	ctx := context.Background()
	near, far := testnet.Pipe()
	client, server := mux.Client(near, mux.Config{}), mux.Server(far, mux.Config{})

	var wg sync.WaitGroup
	wg.Go(func() {
		st, err := server.Accept(ctx)
		if err != nil {
			return
		}
		defer st.Close()
		question, _ := io.ReadAll(st) // until the client's CloseWrite
		fmt.Fprintf(st, "%s Yes.", question)
	})

	st, err := client.Open(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(st, "Anybody there?")
	st.CloseWrite()
	answer, err := io.ReadAll(st)
	fmt.Println(string(answer), err)
	wg.Wait()

	client.Close()
	<-server.Done()
	fmt.Println("server:", server.Err()) // the clean end
	server.Close()
	// Output:
	// Anybody there? Yes. <nil>
	// server: EOF
}
