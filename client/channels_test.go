package client_test

import (
	"errors"
	"io"
	"testing"

	"github.com/cad2f06c/switchboard/client"
)

// TestChannels: who has an end sees the channel, administrators see all, and end
// them; both ends hear why.
func TestChannels(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	for _, direct := range []client.Direct{client.DirectNever, client.DirectRequire} {
		a, b := dial(t, client.Config{Address: p.address()}), dial(t, client.Config{Address: p.address()})
		stranger := dial(t, client.Config{Address: p.address()})
		admin := dial(t, client.Config{Address: p.address(), Key: p.key})
		ln := listen(t, b, "test.channels")
		call, accepted := open(t, a, ln, client.OpenOptions{Direct: direct})
		bounce(t, call, accepted, "hello")

		for _, row := range []struct {
			who  *client.Client
			all  bool
			want int
		}{{a, false, 1}, {b, false, 1}, {stranger, false, 0}, {admin, false, 0}, {admin, true, 1}} {
			list, err := row.who.Channels(short(t), row.all)
			if err != nil || len(list) != row.want || row.want == 1 && list[0].Channel != call.Info().ID.String() {
				t.Errorf("all %t: got %+v, %v, want %d", row.all, list, err, row.want)
			}
		}
		_, err := a.Channels(short(t), true)
		wantErr(t, err, client.NotAllowed)
		wantErr(t, a.CloseChannel(short(t), call.Info().ID.String(), "revoked"), client.NotAllowed)

		if err := admin.CloseChannel(short(t), call.Info().ID.String(), "revoked"); err != nil {
			t.Fatal(err)
		}
		for _, end := range []io.Reader{call, accepted} {
			_, err := io.ReadAll(end)
			if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != "revoked" {
				t.Errorf("direct %v: it ended with %v, want revoked", direct, err)
			}
		}
		eventually(t, func() bool {
			return errors.Is(admin.CloseChannel(short(t), call.Info().ID.String(), ""), client.NotFound)
		})
		ln.Close()
	}
}
