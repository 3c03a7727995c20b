package muxrpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
)

const busy = `{"name":"busy","message":"too many calls in flight","stack":""}`

// The lanes of one session count together; manifest is answered all the same.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := muxrpc.NewLimit(3)
		k := keep()
		handler := muxrpc.HandlerFunc(func(c *muxrpc.Call) {
			if c.Name() == "manifest" {
				c.Reply(true)
				return
			}
			k.ServeCall(c)
		})
		cfg := muxrpc.Config{Handler: handler, Limit: limit, Exempt: []string{"manifest"}}
		_, one := against(t, cfg)
		s, two := against(t, cfg)
		one.give(t, `02 1 {"name":"a","args":[]}
			02 2 {"name":"a","args":[]}`)
		one.expect(t, "")
		two.give(t, `0a 1 {"name":"a","args":[],"type":"duplex"}
			02 2 {"name":"a","args":[]}
			0a 3 {"name":"a","args":[],"type":"source"}
			02 4 {"name":"manifest","args":[]}`)
		two.expect(t, "06 -2 "+busy+"\n0e -3 "+busy+"\n02 -4 true")
		calls := []*muxrpc.Call{<-k.calls, <-k.calls, <-k.calls}

		calls[0].Reply(1)
		one.expect(t, "02 -1 1")
		two.give(t, `02 5 {"name":"a","args":[]}
			02 6 {"name":"a","args":[]}`)
		two.expect(t, "06 -6 "+busy)

		// One END is not enough.
		calls[2].Stream().CloseSend(nil)
		two.give(t, `02 7 {"name":"a","args":[]}`)
		two.expect(t, "0e -1 true\n06 -7 "+busy)
		two.give(t, "0e 1 true\n"+`02 7 {"name":"a","args":[]}`)
		two.expect(t, "")

		if n := limit.InUse(); n != 3 {
			t.Errorf("%d in flight, want 3", n)
		}
		s.Close()
		if n := limit.InUse(); n != 1 {
			t.Errorf("%d in flight, want 1", n)
		}
		calls[1].Fail(nil)
		if n := limit.InUse(); n != 0 {
			t.Errorf("%d in flight, want none", n)
		}
	})
}

// A goroutine that outlives its session keeps its charge: lanes that come and go do not pile up work.
func TestLimitOutlivesSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := muxrpc.NewLimit(1)
		release := make(chan bool)
		s, peer := against(t, muxrpc.Config{Limit: limit, Handler: muxrpc.HandlerFunc(func(c *muxrpc.Call) {
			c.Go(func() { <-release })
		})})
		peer.give(t, `02 1 {"name":"a","args":[]}`)
		synctest.Wait()
		peer.Abort()
		<-s.Done()
		synctest.Wait()
		if n := limit.InUse(); n != 1 {
			t.Errorf("%d in flight while the goroutine runs", n)
		}
		close(release)
		s.Close()
		if n := limit.InUse(); n != 0 {
			t.Errorf("%d in flight afterwards", n)
		}
	})
}

// What nobody takes ends its stream, and only this.
func TestReceiveQuota(t *testing.T) {
	const quota = `{"name":"quota","message":"receive queue is full","stack":""}`
	item := "0a %d \"" + strings.Repeat("x", 8000) + "\"\n"
	for _, tt := range []struct {
		name string
		line string
		n    int // so many fit
	}{{"packets", "0a %d 1\n", 64}, {"bytes", item, 32}} {
		bubble(t, tt.name+" to a handler", func(t *testing.T) {
			k := keep()
			s, peer := against(t, muxrpc.Config{Handler: k})
			peer.give(t, `0a 1 {"name":"a","args":[],"type":"sink"}`)
			c := <-k.calls
			for range tt.n {
				peer.give(t, fmt.Sprintf(tt.line, 1))
			}
			peer.expect(t, "")
			for range 3 {
				peer.give(t, fmt.Sprintf(tt.line, 1))
			}
			peer.expect(t, "0e -1 "+quota)
			var remote *muxrpc.RemoteError
			if _, _, err := c.Stream().Recv(t.Context()); !errors.As(err, &remote) || remote.Name != "quota" {
				t.Errorf("got %v, want quota", err)
			}
			<-c.Context().Done()
			peer.give(t, "0e 1 true\n"+`02 2 {"name":"a","args":[]}`)
			(<-k.calls).Reply(1)
			peer.expect(t, "02 -2 1")
			if st := s.Stats(); st.Quota != 1 || st.Dropped != 2 {
				t.Errorf("got %+v", st)
			}
		})
		bubble(t, tt.name+" to a caller", func(t *testing.T) {
			s, peer := against(t, muxrpc.Config{})
			st, err := s.Open(t.Context(), "source", "a", nil)
			if err != nil {
				t.Fatal(err)
			}
			peer.taken(t)
			for range tt.n + 1 {
				peer.give(t, fmt.Sprintf(tt.line, -1))
			}
			peer.expect(t, "0e 1 "+quota)
			if items, err := all(t.Context(), st); len(items) > 0 || err == nil || err == io.EOF {
				t.Errorf("got %d items, %v", len(items), err)
			}
			peer.give(t, "0e -1 true")
			peer.expect(t, "")
		})
	}
	bubble(t, "one packet always fits", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{MaxReceive: 10})
		st, err := s.Open(t.Context(), "source", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			peer.give(t, fmt.Sprintf(item, -1))
			if _, _, err := st.Recv(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBlockReceive(t *testing.T) {
	item := strings.Repeat("x", 8000)
	feed := func(peer *conn, n int) {
		for i := range n {
			fmt.Fprintf(peer, "%s", raw(t, fmt.Sprintf("09 -1 %04d%s", i, item)))
		}
		peer.Write(raw(t, "0e -1 true"))
	}
	bubble(t, "nothing is lost", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{BlockReceive: true})
		st, err := s.Open(t.Context(), "source", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		go feed(peer, 500)
		time.Sleep(time.Minute)
		items, err := all(t.Context(), st)
		if len(items) != 500 || err != io.EOF {
			t.Errorf("got %d, %v", len(items), err)
		}
		for i, got := range items {
			if want := fmt.Sprintf("09 %04d", i); !strings.HasPrefix(got, want) {
				t.Fatalf("got %.20s, want %s", got, want)
			}
		}
	})
	bubble(t, "abort lets the reader go on", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{BlockReceive: true})
		st, err := s.Open(t.Context(), "source", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		go feed(peer, 500)
		synctest.Wait()
		st.Abort(nil)
		peer.expect(t, `0a 1 {"name":["a"],"args":[],"type":"source"}`+"\n0e 1 true")
		if s.Err() != nil {
			t.Error(s.Err())
		}
	})
	bubble(t, "close while it waits", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{BlockReceive: true})
		if _, err := s.Open(t.Context(), "source", "a", nil); err != nil {
			t.Fatal(err)
		}
		go feed(peer, 500)
		synctest.Wait()
		s.Close()
	})
}

// Header and body are never in one box, a body's boxes are full but for the last, and many packets go in one call.
func TestBoxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(1000)
		boxed := &boxConn{conn: b}
		s := muxrpc.NewSession(boxed, muxrpc.Config{MaxPending: 1 << 20})
		defer s.Close()
		st, err := s.Open(t.Context(), "sink", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		sizes := []int{1, 4096, 4097, 5, 1, 1, 40000, 7, 7, 16384, 12288 - 9, 3, 4095, 100000}
		for range 200 {
			sizes = append(sizes, 2)
		}
		for _, n := range sizes {
			if err := st.Send(bytes.Repeat([]byte{'x'}, n)); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := muxrpc.ReadPacket(a, 1<<20); err != nil || p.Req != 1 {
			t.Fatal(p, err)
		}
		for _, n := range sizes {
			if p, err := muxrpc.ReadPacket(a, 1<<20); err != nil || len(p.Body) != n {
				t.Fatalf("got %d bytes, %v, want %d", len(p.Body), err, n)
			}
		}
		boxed.mu.Lock()
		defer boxed.mu.Unlock()
		i := 2 // behind the request
		for _, n := range sizes {
			if len(boxed.boxes[i]) != 9 {
				t.Fatalf("box %d has %d bytes, want a header", i, len(boxed.boxes[i]))
			}
			for i++; n > 0; i++ {
				if len(boxed.boxes[i]) != min(n, 4096) {
					t.Fatalf("box %d has %d bytes, want %d", i, len(boxed.boxes[i]), min(n, 4096))
				}
				n -= 4096
			}
		}
		if boxed.most > 16<<10 || boxed.calls > 30 {
			t.Errorf("%d calls, the largest of %d bytes", boxed.calls, boxed.most)
		}
	})
}

// A peer that takes one piece in time lives, however long the whole takes; one that stops is cut.
func TestSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(1)
		s := muxrpc.NewSession(b, muxrpc.Config{})
		defer s.Close()
		errs := make(chan error, 1)
		go func() { errs <- s.Call(t.Context(), "a", make([]byte, 100_000), nil) }()
		begin := time.Now()
		piece := make([]byte, 16<<10)
		for range 5 {
			time.Sleep(9 * time.Second)
			if _, err := io.ReadFull(a, piece); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			begin = time.Now()
			if s.Err() != nil {
				t.Fatal(s.Err())
			}
		}
		if <-s.Done(); !errors.Is(s.Err(), os.ErrDeadlineExceeded) || time.Since(begin) > 10*time.Second {
			t.Errorf("ended with %v after %v", s.Err(), time.Since(begin))
		}
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("call: %v", err)
		}
	})
}

// Senders wait at MaxPending; a handler's Reply stops the reading.
func TestBackPressure(t *testing.T) {
	bubble(t, "replies", func(t *testing.T) {
		served := 0
		_, peer := against(t, muxrpc.Config{WriteTimeout: time.Hour, MaxPending: 20000, Handler: muxrpc.HandlerFunc(func(c *muxrpc.Call) {
			served++
			c.Reply(c.Args()[0])
		})})
		arg := strings.Repeat("x", 10000)
		go func() {
			for i := range 30 {
				peer.Write(raw(t, fmt.Sprintf(`02 %d {"name":"a","args":["%s"]}`, i+1, arg)))
			}
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if served < 6 || served > 12 { // 64 KiB in the conn, 20,000 bytes waiting, one in the reader's hands
			t.Errorf("served %d calls of a peer that does not read", served)
		}
		for i := range 30 {
			if p, err := muxrpc.ReadPacket(peer, 1<<20); err != nil || p.Req != -int32(i+1) {
				t.Fatalf("got %d, %v", p.Req, err)
			}
		}
	})
	bubble(t, "streams", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{WriteTimeout: time.Hour, MaxPending: 20000})
		st, err := s.Open(t.Context(), "sink", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		go func() {
			for i := range 100 {
				st.Send(fmt.Sprintf("%03d%s", i, strings.Repeat("x", 5000)))
				sent++
			}
			st.CloseSend(nil)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if sent > 20 {
			t.Errorf("sent %d items to a peer that does not read", sent)
		}
		muxrpc.ReadPacket(peer, 1<<20)
		for i := range 100 {
			p, err := muxrpc.ReadPacket(peer, 1<<20)
			if want := fmt.Sprintf(`"%03d`, i); err != nil || !strings.HasPrefix(string(p.Body), want) {
				t.Fatalf("got %.5s, %v, want %s", p.Body, err, want)
			}
		}
		peer.expect(t, "0e 1 true")
	})
}

func BenchmarkCall(b *testing.B) {
	x, y := pipe(64 << 10)
	cfg := muxrpc.Config{Handler: muxrpc.HandlerFunc(serveTest)}
	s, peer := muxrpc.NewSession(x, cfg), muxrpc.NewSession(y, cfg)
	defer peer.Close()
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		var got string
		if err := s.Call(b.Context(), "echo", "hi", &got); err != nil {
			b.Fatal(err)
		}
	}
}
