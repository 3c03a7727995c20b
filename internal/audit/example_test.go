package audit_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cad2f06c/switchboard/internal/audit"
)

func Example() {
	parent, err := os.MkdirTemp("", "audit")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "audit")
	public, private, _ := ed25519.GenerateKey(rand.Reader)

	log, err := audit.Open(audit.Config{
		Dir:  dir,
		Sign: func(msg []byte) []byte { return ed25519.Sign(private, msg) },
	})
	if err != nil {
		panic(err)
	}
	log.Note(audit.Event{Event: "connect.denied", Actor: "@mallory", Name: "org.example.store", Rule: "no rule"})
	if err := log.Commit(context.Background(), audit.Event{Event: "peer.revoked", Actor: "@admin", Target: "@mallory"}); err != nil {
		panic(err) // and do not revoke
	}
	for _, r := range log.Recent(audit.Filter{Peer: "@mallory", Limit: 100}) {
		fmt.Println(r.Seq, r.Event.Event)
	}
	if err := log.Close(); err != nil {
		panic(err)
	}

	report, err := audit.Verify(dir, func(msg, sig []byte) bool { return ed25519.Verify(public, msg, sig) })
	fmt.Println(report.Records, "records,", report.Unsigned, "after the last head, fault:", report.Fault, err)
	// Output:
	// 1 connect.denied
	// 2 peer.revoked
	// 3 records, 0 after the last head, fault: <nil> <nil>
}
