package shs_test

import (
	"errors"
	"net"
	"testing"

	"github.com/cad2f06c/switchboard/shs"
)

// A server accepts its purpose key beside its others and tells them apart, and
// what decides on one is not asked about the other.
func TestPurposeKey(t *testing.T) {
	server, client := shs.GenerateKey(), shs.GenerateKey()
	K := shs.DefaultNetworkKey()
	plain := K.Plain(1, 2)
	errLogin, errPurpose := errors.New("a login"), errors.New("a purpose")
	for _, tc := range []struct {
		name   string
		dial   shs.Config
		plain  shs.NetworkKey
		refuse bool
		want   error // that the server decides
		aside  bool
		mode   shs.Mode
	}{
		{name: "box", mode: shs.Box},
		{name: "box beside plain", plain: plain},
		{name: "plain", plain: plain, dial: shs.Config{PlainKey: plain}, mode: shs.Plain},
		{name: "purpose", dial: shs.Config{NetworkKey: K.Invite()}, aside: true},
		{name: "purpose behind plain", plain: plain, dial: shs.Config{NetworkKey: K.Invite()}, aside: true},
		{name: "login refused", refuse: true, want: errLogin},
		{name: "purpose refused", refuse: true, plain: plain, dial: shs.Config{NetworkKey: K.Invite()}, want: errPurpose},
		{name: "neither", dial: shs.Config{NetworkKey: K.Invite().Invite()}, want: shs.ErrHello},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := net.Pipe()
			tc.dial.Key, tc.dial.ServerKey = client, server.Public()
			decide := func(with error) error {
				if tc.refuse {
					return with
				}
				return nil
			}
			conn := shs.Server(b, &shs.Config{Key: server, PlainKey: tc.plain, PurposeKey: K.Invite(),
				Authorize:        func(shs.PublicKey, shs.Mode) error { return decide(errLogin) },
				AuthorizePurpose: func(shs.PublicKey) error { return decide(errPurpose) }})
			dialled := make(chan error, 1)
			go func() { dialled <- shs.Client(a, &tc.dial).Handshake(t.Context()) }()
			err := conn.Handshake(t.Context())
			if got := <-dialled; !errors.Is(err, tc.want) || (got == nil) != (tc.want == nil) {
				t.Fatalf("server: %v, client: %v", err, got)
			}
			if tc.want == nil && (conn.Purpose() != tc.aside || conn.Mode() != tc.mode || conn.RemoteKey() != client.Public()) {
				t.Errorf("purpose %v, mode %v", conn.Purpose(), conn.Mode())
			}
		})
	}
	for _, cfg := range []*shs.Config{
		{PurposeKey: K.Invite()},
		{AuthorizePurpose: func(shs.PublicKey) error { return nil }},
		{PurposeKey: K, AuthorizePurpose: func(shs.PublicKey) error { return nil }},
		{PurposeKey: plain, PlainKey: plain, AuthorizePurpose: func(shs.PublicKey) error { return nil }},
	} {
		a, b := net.Pipe()
		cfg.Key = server
		if err := shs.Server(b, cfg).Handshake(t.Context()); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
		a.Close()
	}
}

// A statement is signed for one label and its fields.
func TestSign(t *testing.T) {
	key, other := shs.GenerateKey(), shs.GenerateKey()
	sig := key.Sign("redeem", []byte("ab"), []byte("c"))
	if !key.Public().Verify("redeem", sig, []byte("ab"), []byte("c")) {
		t.Error("a signature does not hold")
	}
	for name, ok := range map[string]bool{
		"label":  key.Public().Verify("rotate", sig, []byte("abc")),
		"fields": key.Public().Verify("redeem", sig, []byte("abd")),
		"key":    other.Public().Verify("redeem", sig, []byte("abc")),
		"short":  key.Public().Verify("redeem", sig[:63], []byte("abc")),
		"none":   key.Public().Verify("redeem", nil, []byte("abc")),
		"weak":   shs.PublicKey{}.Verify("redeem", make([]byte, 64), []byte("abc")),
	} {
		if ok {
			t.Errorf("another %s holds", name)
		}
	}
}
