package yamux

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// exchangeByte uses a stream both ways, then ends it.
func exchangeByte(t *testing.T, st *mux.Stream, other stream) {
	t.Helper()
	pingPong(t, st, other)
	st.Close()
	other.CloseWrite()
}

func pingPong(t *testing.T, st, other io.ReadWriter) {
	t.Helper()
	for _, way := range []struct {
		w io.Writer
		r io.Reader
	}{{st, other}, {other, st}} {
		say(t, way.w, "x")
		var b [1]byte
		if _, err := io.ReadFull(way.r, b[:]); err != nil || b[0] != 'x' {
			t.Fatalf("got %q, %v", b, err)
		}
	}
}

func say(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

// hear reads to the end, which must be end.
func hear(t *testing.T, r io.Reader, want string, end error) {
	t.Helper()
	var got []byte
	b := make([]byte, 100)
	for {
		n, err := r.Read(b)
		got = append(got, b[:n]...)
		if err == nil {
			continue
		}
		if string(got) != want || !errors.Is(err, end) {
			t.Fatalf("got %q, %v, want %q, %v", got, err, want, end)
		}
		return
	}
}

// wait polls what the libraries do not signal.
func wait(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waiting in vain: %s", what)
		}
	}
}
