package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

func textLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// dialOnce gives out one connection.
func dialOnce(conn net.Conn) func(context.Context, string, string) (net.Conn, error) {
	var once sync.Once
	return func(context.Context, string, string) (c net.Conn, err error) {
		err = errors.New("only once")
		once.Do(func() { c, err = conn, nil })
		return c, err
	}
}

// TestMode checks what protects a connection to the real server.
func TestMode(t *testing.T) {
	address := serve(t)
	for _, row := range []struct {
		name string
		cfg  client.Config
		want string
	}{
		{"auto", client.Config{}, "mode=plain"},
		{"plain", client.Config{Mode: client.ModePlain}, "mode=plain"},
		{"box", client.Config{Mode: client.ModeBox}, "mode=box"},
		{"auto over no Unix socket", client.Config{Dial: hiddenDial}, "mode=box"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			row.cfg.Address, row.cfg.Log = address, textLog(&log)
			dial(t, row.cfg).Close()
			if !strings.Contains(log.String(), row.want) {
				t.Fatalf("got log %s, want %s", &log, row.want)
			}
		})
	}
	_, err := client.Dial(short(t), client.Config{Address: address, Key: shs.GenerateKey(), Mode: client.ModePlain, Dial: hiddenDial})
	if err == nil || errors.Is(err, shs.ErrRefused) {
		t.Fatalf("plain over no Unix socket: got %v", err)
	}
}

// TestPrepared dials again and again with what was prepared once; of another key
// it is an error.
func TestPrepared(t *testing.T) {
	key := shs.GenerateKey()
	cfg := client.Config{Address: serve(t), Key: key, Prepared: shs.Prepare(key)}
	for range 3 {
		c := dial(t, cfg)
		if me, err := c.WhoAmI(short(t)); err != nil || me.ID != key.Public() {
			t.Errorf("got %v, %v, want %v", me.ID, err, key.Public())
		}
		c.Close()
	}
	cfg.Key = shs.GenerateKey()
	if c, err := client.Dial(short(t), cfg); err == nil {
		c.Close()
		t.Error("prepared of another key: no error")
	}
}

// hiddenDial dials a Unix socket without letting it be seen.
func hiddenDial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	return struct{ net.Conn }{conn}, err
}

// TestFallback counts the logins at a server that refuses all, or box: plain,
// then box; box alone is never followed by plain.
func TestFallback(t *testing.T) {
	for _, row := range []struct {
		name string
		mode client.Mode
		want []string
	}{
		{"auto", client.ModeAuto, []string{"plain", "box"}},
		{"box", client.ModeBox, []string{"box"}},
		{"plain", client.ModePlain, []string{"plain"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPlace(t)
			ln, err := net.Listen("unix", p.path)
			if err != nil {
				t.Fatal(err)
			}
			uid := uint32(os.Geteuid())
			var mu sync.Mutex
			var got []string
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					raw, err := ln.Accept()
					if err != nil {
						return
					}
					conn := shs.Server(raw, &shs.Config{
						Key:      p.key,
						PlainKey: shs.DefaultNetworkKey().Plain(uid, uid),
						Authorize: func(_ shs.PublicKey, m shs.Mode) error {
							mu.Lock()
							defer mu.Unlock()
							got = append(got, m.String())
							return errors.New("no")
						},
					})
					conn.Handshake(context.Background())
					raw.Close()
				}
			})
			key := shs.GenerateKey()
			_, err = client.Dial(short(t), client.Config{Address: p.address(), Key: key, Mode: row.mode})
			ln.Close()
			wg.Wait()
			wantErr(t, err, shs.ErrRefused)
			for _, word := range []string{"address", "server key", "network key", "mode", "user", "authorized_peers", key.Public().String(), p.path} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the error does not mention %q: %v", word, err)
				}
			}
			if strings.Join(got, " ") != strings.Join(row.want, " ") {
				t.Errorf("got logins %v, want %v", got, row.want)
			}
		})
	}
}

// TestImpostors: what answers is no switchboard, or has not the server's key.
func TestImpostors(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	dialer := func(change func([]byte)) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, addr)
			return &changed{Conn: conn, change: change}, err
		}
	}
	for _, row := range []struct {
		name   string
		change func([]byte) // of what the server says, 64 and then 80 bytes
		want   error
		words  []string
	}{
		{"another protocol", func(p []byte) { copy(p, "HTTP/1.1 400 Bad Request") }, shs.ErrHello,
			[]string{p.path, "no switchboard", "address", "network key"}},
		{"a key that is not its own", func(p []byte) {
			if len(p) != 64 {
				p[0] ^= 1
			}
		}, shs.ErrProof, []string{p.path, "address", "does not hold the server key " + p.key.Public().String()}},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := client.Dial(short(t), client.Config{Address: p.address(), Key: shs.GenerateKey(), Dial: dialer(row.change)})
			wantErr(t, err, row.want)
			for _, word := range row.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the error does not mention %q: %v", word, err)
				}
			}
		})
	}
}

// changed is a connection on the way of which somebody changes what is read.
type changed struct {
	net.Conn
	change func([]byte)
}

func (c *changed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.change(p[:n])
	return n, err
}

// TestAddresses tries several, of which the last is right.
func TestAddresses(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	nobody := shs.Address{Network: "unix", Addr: p.path + ".nobody", Key: p.key.Public()}.String()
	stranger := shs.Address{Network: "unix", Addr: p.path, Key: shs.GenerateKey().Public()}.String()
	dial(t, client.Config{Address: nobody + ";" + stranger + ";" + p.address()})

	_, err := client.Dial(short(t), client.Config{Address: nobody + ";" + stranger, Key: shs.GenerateKey()})
	wantErr(t, err, os.ErrNotExist)
	wantErr(t, err, shs.ErrRefused)
	_, err = client.Dial(short(t), client.Config{Address: p.address(), Key: shs.GenerateKey(), NetworkKey: shs.NetworkKey{1}})
	wantErr(t, err, shs.ErrRefused)
	_, err = client.Dial(short(t), client.Config{Address: "nonsense", Key: shs.GenerateKey()})
	wantErr(t, err, shs.ErrAddress)
	if _, err = client.Dial(short(t), client.Config{Address: p.address()}); err == nil {
		t.Fatal("logged in without a key")
	}
}

// TestDiscovery finds the server by the environment, then by the file.
func TestDiscovery(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	dir := filepath.Dir(p.path)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("SWITCHBOARD_ADDRESS", "")
	file := filepath.Join(dir, "switchboard", "address")
	if os.Geteuid() == 0 {
		file = "" // root looks in /run, which is not ours to write
	}
	_, err := client.Dial(short(t), client.Config{Key: shs.GenerateKey()})
	if file != "" {
		wantErr(t, err, os.ErrNotExist)
		if !strings.Contains(err.Error(), "SWITCHBOARD_ADDRESS") || !strings.Contains(err.Error(), file) {
			t.Errorf("the error does not say where it looked: %v", err)
		}
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(p.address()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		dial(t, client.Config{})
	}
	t.Setenv("SWITCHBOARD_ADDRESS", p.address())
	dial(t, client.Config{})
}

// TestTCP logs in over TCP, where only listed keys are admitted.
func TestTCP(t *testing.T) {
	p := newPlace(t)
	key := shs.GenerateKey()
	p.cfg.Policy = trusting(t, key.Public())
	srv, err := switchboard.New(p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ctx, ln) })
	defer wg.Wait()
	defer cancel()
	address := shs.Address{Network: "net", Addr: ln.Addr().String(), Key: p.key.Public()}.String()
	for _, single := range []bool{false, true} {
		c := dial(t, client.Config{Address: address, Key: key, SingleLane: single})
		c1, c2 := pair(t, c, c, "test.tcp")
		c1.Close()
		c2.Close()
		c.Close()
	}
	_, err = client.Dial(short(t), client.Config{Address: address, Key: shs.GenerateKey()})
	wantErr(t, err, shs.ErrRefused)
	_, err = client.Dial(short(t), client.Config{Address: address, Key: key, Mode: client.ModePlain})
	if err == nil {
		t.Fatal("plain over TCP")
	}
}
