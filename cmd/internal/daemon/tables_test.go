package daemon

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"Lanes": "lanes", "SessionsPerKey": "sessions_per_key", "SessionsPerUID": "sessions_per_uid", "UIDs": "ui_ds",
		"HTTPPort": "http_port", "HalfOpenNet": "half_open_net",
	} {
		if got := snake(name); got != want {
			t.Errorf("%s became %s, want %s", name, got, want)
		}
	}
}

// Every number and time of a struct is a key: those of a part beside the others,
// those of a table in it.
func TestNumbers(t *testing.T) {
	type Part struct{ ConnectRate, HalfOpen int }
	type quota struct {
		Lanes int
		Wait  time.Duration
	}
	var all struct {
		Part
		Sessions     int
		PenaltyAuth  time.Duration
		Basic        quota
		Other        []string
		SessionsPerX int
	}
	top := numbers(reflect.ValueOf(&all).Elem())
	keys := slices.Sorted(func(yield func(string) bool) {
		for key := range top {
			if !yield(key) {
				return
			}
		}
	})
	if want := []string{"basic", "connect_rate", "half_open", "penalty_auth", "sessions", "sessions_per_x"}; !slices.Equal(keys, want) {
		t.Fatalf("got the keys %q, want %q", keys, want)
	}
	for key, value := range map[string]any{"connect_rate": int64(0), "half_open": int64(7), "penalty_auth": "0s", "sessions": int64(9)} {
		if err := top[key].(reader)(value); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if all.ConnectRate != -1 || all.HalfOpen != 7 || all.PenaltyAuth != -1 || all.Sessions != 9 {
		t.Errorf("got %+v; none is -1", all)
	}
	lanes, err := top["basic"].(table)("lanes")
	if err != nil {
		t.Fatal(err)
	}
	if err := lanes.(reader)(int64(3)); err != nil || all.Basic.Lanes != 3 {
		t.Errorf("[limits.basic] lanes: %d, %v", all.Basic.Lanes, err)
	}
	for key, value := range map[string]any{"half_open": int64(0), "sessions": "9", "penalty_auth": int64(5), "connect_rate": int64(-1)} {
		if err := top[key].(reader)(value); err == nil {
			t.Errorf("%s took %v", key, value)
		}
	}
}
