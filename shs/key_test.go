package shs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParsePublicKey(t *testing.T) {
	key := alice.Public()
	text := key.String()
	if want := "@1b9KP8znF7A4i8wnSevBSK2ZabI/Re4bYF/Vh3hXasQ=.ed25519"; text != want {
		t.Fatalf("got %s, want %s", text, want)
	}
	if got, err := ParsePublicKey(text); got != key || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	b64 := text[1:45]
	for name, bad := range map[string]string{
		"empty":            "",
		"no sigil":         text[1:],
		"no suffix":        text[:45],
		"another suffix":   "@" + b64 + ".sha256",
		"no padding":       "@" + b64[:43] + ".ed25519",
		"too short":        "@" + b64[4:] + ".ed25519",
		"too long":         "@AAAA" + b64 + ".ed25519",
		"spare bits":       "@" + b64[:42] + "R=.ed25519",
		"url alphabet":     strings.ReplaceAll(text, "/", "_"),
		"line end":         "@" + b64[:20] + "\n" + b64[20:43] + ".ed25519",
		"space around it":  " " + text,
		"something behind": text + "\n",
		"two sigils":       "@" + text,
	} {
		if got, err := ParsePublicKey(bad); !errors.Is(err, ErrPublicKey) || !got.IsZero() {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestPublicKeyJSON(t *testing.T) {
	type object struct {
		ID PublicKey `json:"id"`
	}
	want := object{alice.Public()}
	text, err := json.Marshal(want)
	if err != nil || string(text) != `{"id":"`+want.ID.String()+`"}` {
		t.Fatalf("got %s, %v", text, err)
	}
	var got object
	if err := json.Unmarshal(text, &got); got != want || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"id":"@x.ed25519"}`), &got); !errors.Is(err, ErrPublicKey) {
		t.Errorf("got %v, want %v", err, ErrPublicKey)
	}
}

// TestSecretsUnprintable prints and logs a key in every way.
func TestSecretsUnprintable(t *testing.T) {
	type holder struct{ Key PrivateKey }
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", alice, "holder", holder{alice}, "peer", alice.Public())
	if !strings.Contains(log.String(), "peer=@1b9KP8zn\n") {
		t.Errorf("logged as %s", &log)
	}
	object, err := json.Marshal(holder{alice})
	if err != nil {
		t.Fatal(err)
	}
	all := []string{log.String(), string(object), alice.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		for _, v := range []any{alice, &alice, holder{alice}, []PrivateKey{alice}} {
			all = append(all, fmt.Sprintf(verb, v))
		}
	}
	secret := alice.pair[:4]
	for _, text := range all {
		for _, form := range []string{"%x", "%X", "%v", "%s"} {
			if inside := strings.Trim(fmt.Sprintf(form, secret), "[]"); strings.Contains(text, inside) {
				t.Errorf("%q tells the secret", text)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	if a, b := GenerateKey(), GenerateKey(); a == b || a.IsZero() || a.Public().IsZero() {
		t.Error("two fresh keys are one, or none")
	}
	if !(PrivateKey{}).IsZero() || !(PublicKey{}).IsZero() || !(NetworkKey{}).IsZero() {
		t.Error("a zero key is not zero")
	}
	if alice != NewPrivateKey(sum("alice")) {
		t.Error("one seed makes two keys")
	}
}
