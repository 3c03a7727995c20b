package control_test

import (
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
)

// An error answer says when to try again, if that is known.
func TestRetry(t *testing.T) {
	e := &control.Error{Code: control.RateLimited, Message: "m", RetryMS: 1500}
	wire := control.ToWire(e)
	if got, want := string(wire.AppendJSON(nil)), `{"name":"rate_limited","message":"m","stack":"","retry_ms":1500}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := control.FromWire(wire); *got.(*control.Error) != *e {
		t.Errorf("got %+v, want %+v", got, e)
	}
}
