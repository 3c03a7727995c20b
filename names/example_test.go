package names_test

import (
	"fmt"
	"time"

	"github.com/cad2f06c/switchboard/names"
)

func Example() {
	now := time.UnixMicro(1_000_000)
	registry := names.New(names.Limits{}, now)
	echo, err := names.ParseName("org.example.echo")
	if err != nil {
		fmt.Println(err)
		return
	}
	alice := names.Owner{Session: 1, Key: [32]byte{'a'}, Transport: "unix"}
	bob := names.Owner{Session: 2, Key: [32]byte{'b'}, Transport: "net"}

	// A snapshot and the changes after it are all that a watcher needs.
	rev, entries := registry.Snapshot(now)
	fmt.Println(len(entries), "names")

	for _, o := range []names.Owner{alice, bob} {
		result, _, err := registry.Claim(now, o, echo, names.Options{Queue: true})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(o.Session, result.State)
	}
	registry.Drop(now, alice.Session) // alice's session ends: bob owns at once

	changes, _ := registry.Since(rev)
	for _, c := range changes {
		fmt.Println(c.Kind, c.Name, c.Entry.Session)
	}
	// Output:
	// 0 names
	// 1 owner
	// 2 waiting
	// connected org.example.echo 1
	// moved org.example.echo 2
}

func ExamplePattern_Match() {
	pattern, err := names.ParsePattern("org.*.log.**")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range []names.Name{"org.example.log.kernel", "org.example.log", "org.a.b.log.kernel"} {
		fmt.Println(n, pattern.Match(n))
	}
	// Output:
	// org.example.log.kernel true
	// org.example.log false
	// org.a.b.log.kernel false
}
