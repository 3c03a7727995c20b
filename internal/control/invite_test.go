package control_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// A code comes back whole, or not at all.
func TestInviteCode(t *testing.T) {
	address := "net:example.org:7483~shs:" + strings.TrimSuffix(shs.NewPrivateKey([32]byte{1}).Public().String()[1:], ".ed25519")
	for _, network := range []shs.NetworkKey{{}, {7}} {
		want := control.NewInvite(address)
		want.NetworkKey = network
		code := want.Code()
		for _, text := range []string{code, " " + code + "\n", code[:20] + "\r\n  " + code[20:]} {
			if got, err := control.ParseInvite(text); err != nil || got != want || got.Key() != want.Key() {
				t.Errorf("%q: got %v, %v", text, got, err)
			}
		}
		for i := range code {
			if got, err := control.ParseInvite(code[:i]); err == nil {
				t.Errorf("%d of %d characters are %v", i, len(code), got)
			}
			other := byte('A')
			if code[i] == other {
				other = 'B'
			}
			if got, err := control.ParseInvite(code[:i] + string(other) + code[i+1:]); err == nil {
				t.Errorf("with another character %d it is %v", i, got)
			}
		}
		for _, text := range []string{"", "sbi1.", code + "A", code + code, strings.ToUpper(code), strings.TrimPrefix(code, "sbi1."), "sbi2." + code[5:], code + "=="} {
			if got, err := control.ParseInvite(text); err == nil {
				t.Errorf("%.40q: got %v", text, got)
			}
		}
		if text := fmt.Sprintf("%v %+v %s %x", want, want, want, want); strings.Contains(text, "seed") || strings.Contains(text, address) {
			t.Errorf("printed: %s", text)
		}
	}
	for _, address := range []string{"", "nowhere", address + ";"} {
		if got, err := control.ParseInvite(control.NewInvite(address).Code()); err == nil {
			t.Errorf("%q: got %v", address, got)
		}
	}
}

func FuzzParseInvite(f *testing.F) {
	f.Add("sbi1.AAAA")
	f.Add(control.NewInvite("unix:/s~shs:7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=").Code())
	f.Fuzz(func(t *testing.T, text string) {
		if i, err := control.ParseInvite(text); err == nil && i.Code() != strings.Join(strings.Fields(text), "") {
			t.Errorf("%q is %v, which is %q", text, i, i.Code())
		}
	})
}
