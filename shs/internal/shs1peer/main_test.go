package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"io"
	"net"
	"testing"
)

// TestBothRoles has the program shake hands with itself.
func TestBothRoles(t *testing.T) {
	sk := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	network := hex.EncodeToString(make([]byte, 32))
	pk := hex.EncodeToString(sk[ed25519.SeedSize:])

	client, server := net.Pipe()
	type result struct {
		outcome []byte
		err     error
	}
	results := make(chan result)
	peer := func(c net.Conn, messages int, args ...string) {
		out := &tail{Conn: c, skip: messages}
		err := run(args, out)
		results <- result{out.outcome, err}
	}
	go peer(server, 64+80, network, hex.EncodeToString(sk), pk)
	go peer(client, 64+112, network, pk)
	one, two := <-results, <-results
	if one.err != nil || two.err != nil {
		t.Fatal(one.err, two.err)
	}
	if len(one.outcome) != 112 || !bytes.Equal(one.outcome[:56], two.outcome[56:]) || !bytes.Equal(one.outcome[56:], two.outcome[:56]) {
		t.Errorf("outcomes %x and %x", one.outcome, two.outcome)
	}
}

// tail sends the messages of a handshake and keeps what is written after them.
type tail struct {
	net.Conn
	skip    int
	outcome []byte
}

func (c *tail) Write(p []byte) (int, error) {
	if c.skip > 0 {
		c.skip -= len(p)
		return c.Conn.Write(p)
	}
	c.outcome = append(c.outcome, p...)
	return len(p), nil
}

func TestBadArguments(t *testing.T) {
	key := hex.EncodeToString(make([]byte, 32))
	for _, args := range [][]string{{}, {key}, {"xx", key}, {key, key[2:]}, {key, key + key, key + "00"}, {key, key + "00", key}} {
		var silent struct {
			io.Reader
			bytes.Buffer
		}
		rw := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(nil), &silent.Buffer}
		if err := run(args, rw); err == nil || silent.Len() > 0 {
			t.Errorf("%v: got %v after %d bytes", args, err, silent.Len())
		}
	}
}
