package board

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cad2f06c/switchboard/bench/internal/drive"
	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// plug is one client. It ends with Close, or with the process.
type plug struct {
	*client.Client
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// way is how a worker of one mode reaches the server, and the other end.
type way struct {
	network string
	mode    client.Mode
	direct  client.Direct
	kinds   []client.LinkKind // nil: all
}

var ways = map[string]way{
	"plain":      {"unix", client.ModeAuto, client.DirectNever, nil},
	"box":        {"unix", client.ModeBox, client.DirectNever, nil},
	"tcp":        {"net", client.ModeBox, client.DirectNever, nil},
	"direct":     {"unix", client.ModeAuto, client.DirectRequire, []client.LinkKind{client.LinkUnix}},
	"direct-fd":  {"unix", client.ModeAuto, client.DirectRequire, []client.LinkKind{client.LinkFD}},
	"direct-tcp": {"net", client.ModeBox, client.DirectRequire, nil},
	"auto":       {"unix", client.ModeAuto, client.DirectAuto, nil},
}

// Dialer returns how a worker of a mode connects: plain (the client's default on
// a Unix socket), box (encrypted, on the same socket) or tcp (encrypted, on the
// loopback interface, if the server listens there), all of whose channels stay
// at the server; direct (Unix sockets), direct-fd and direct-tcp, whose channels never use it; or auto,
// whose channels move, as they do by default.
func Dialer(mode string) (drive.Dialer, error) {
	w, ok := ways[mode]
	if !ok {
		return nil, fmt.Errorf("no such mode: %q; there are %s", mode, strings.Join(slices.Sorted(maps.Keys(ways)), ", "))
	}
	var mu sync.Mutex
	var known map[string]place // by address
	return func(addr, id string) (drive.Client, error) {
		mu.Lock()
		at, ok := known[addr]
		mu.Unlock()
		if !ok {
			var err error
			if at, err = find(addr, w.network); err != nil {
				return nil, err
			}
			mu.Lock()
			known = map[string]place{addr: at}
			mu.Unlock()
		}
		h := fnv.New32a()
		io.WriteString(h, id)
		k := h.Sum32() % keyCount
		return dial(client.Config{Address: at.addr, Key: at.keys[k], Prepared: at.prepared[k], Mode: w.mode, Direct: w.direct, DirectKinds: w.kinds, NoReconnect: true, Unmonitored: true})
	}, nil
}

// place is where a server is, and the keys that it admits, prepared as a program
// does that dials often.
type place struct {
	addr     string
	keys     []shs.PrivateKey
	prepared []*shs.Prepared
}

// find picks the address of one network out of those that Serve has given.
func find(addrs, network string) (place, error) {
	all, err := shs.ParseAddresses(addrs)
	if err != nil {
		return place{}, err
	}
	var p place
	for _, a := range all {
		if a.Network == network {
			p.addr = a.String()
		}
		if a.Network == "unix" && p.keys == nil {
			if p.keys, err = keys(a.Addr); err != nil {
				return place{}, err
			}
		}
	}
	if p.addr == "" || p.keys == nil {
		return place{}, errors.New("the server does not listen on " + network)
	}
	for _, k := range p.keys {
		p.prepared = append(p.prepared, shs.Prepare(k))
	}
	return p, nil
}

func dial(cfg client.Config) (drive.Client, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		cancel()
		return nil, err
	}
	return &plug{Client: c, ctx: ctx, cancel: cancel}, nil
}

func (p *plug) Listen(name string, handle func(io.ReadWriteCloser)) error {
	ln, err := p.Client.Listen(p.ctx, valid(name))
	if err != nil {
		return err
	}
	p.work.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { handle(c) })
		}
	})
	return nil
}

func (p *plug) Open(name string) (io.ReadWriteCloser, error) {
	c, err := p.Client.Open(p.ctx, valid(name), client.OpenOptions{})
	if err != nil {
		return nil, err
	}
	return mover{c}, nil
}

// mover is a channel of which the bench knows whether it has moved.
type mover struct{ *channel.Conn }

func (m mover) Moved() bool { return m.Link() != "" }

func (p *plug) Claim(name string) error {
	_, err := p.Client.Claim(p.ctx, valid(name), client.ClaimOptions{})
	return err
}

func (p *plug) Release(name string) error { return p.Client.Release(p.ctx, valid(name)) }

// Entries reads the list as a program does: sorted, with owner, session and age.
func (p *plug) Entries() (int, error) {
	all, err := p.Names(p.ctx, "")
	return len(all), err
}

// List reads the names alone, and counts them, as R's client does.
func (p *plug) List() (n int, err error) {
	args := listArgs{Brief: true}
	for {
		var page json.RawMessage
		if err := p.Call(p.ctx, "names.list", args, &page); err != nil {
			return n, err
		}
		_, list, ok := bytes.Cut(page, []byte(`"names":[`))
		list, rest, ended := bytes.Cut(list, []byte(`]`)) // no name has a bracket, a quote or a comma
		if !ok || !ended {
			return n, errors.New("a page of the list has no names")
		}
		if len(list) > 0 {
			n += 1 + bytes.Count(list, []byte(`,`))
		}
		if !bytes.Contains(rest, []byte(`"more":true`)) {
			return n, nil
		}
		last := bytes.TrimSuffix(list, []byte(`"`))
		args.After = string(last[bytes.LastIndexByte(last, '"')+1:])
	}
}

type listArgs struct {
	After string `json:"after,omitempty"`
	Brief bool   `json:"brief"`
}

func (p *plug) Watch(seen func(string)) error {
	synced := make(chan error, 1) // gets how the snapshot ended
	tell := func(err error) {
		select {
		case synced <- err:
		default: // later ones are of no interest
		}
	}
	p.work.Go(func() {
		for ev, err := range p.Client.Watch(p.ctx, "**") {
			switch {
			case err != nil:
				tell(err)
			case ev.Type == client.EventConnected:
				seen(told(ev.Name))
			case ev.Type == client.EventSynced:
				tell(nil)
			}
		}
	})
	return <-synced
}

func (p *plug) Close() error {
	p.cancel()
	err := p.Client.Close()
	p.work.Wait()
	return err
}

// valid makes a name of ours of one whose elements are numbers, as another bench
// may give them: those get a _ in front. told is the way back.
func valid(name string) string {
	return eachElement(name, func(e string) string {
		if digit(e, 0) {
			return "_" + e
		}
		return e
	})
}

func told(name string) string {
	return eachElement(name, func(e string) string {
		if strings.HasPrefix(e, "_") && digit(e, 1) {
			return e[1:]
		}
		return e
	})
}

func digit(e string, i int) bool { return i < len(e) && '0' <= e[i] && e[i] <= '9' }

func eachElement(name string, f func(string) string) string {
	all := strings.Split(name, ".")
	for i, e := range all {
		all[i] = f(e)
	}
	return strings.Join(all, ".")
}
