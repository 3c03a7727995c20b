package channel_test

import (
	"fmt"

	"github.com/cad2f06c/switchboard/channel"
)

func ExampleParseID() {
	id, err := channel.ParseID("5f0c2a9be1d34780a6b1c2d3e4f50617")
	fmt.Println(id, err)
	_, err = channel.ParseID("5F0C2A9BE1D34780A6B1C2D3E4F50617") // another spelling
	fmt.Println(err)
	// Output:
	// 5f0c2a9be1d34780a6b1c2d3e4f50617 <nil>
	// channel: an id is 32 lower-case hex digits
}
