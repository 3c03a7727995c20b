package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cad2f06c/switchboard/bench/internal/drive"
)

// subject is one thing that is measured.
type subject struct {
	name   string
	server []string // what a server is started with, beside -dir; nil: there is none
	worker string   // the mode of its workers
	works  string   // which of W1 to W6 it can do
}

// subjects are R, D and B, to compare with, and ours.
var subjects = []subject{
	{name: "D", worker: "raw-direct", works: "126"},
	{name: "R", worker: "raw", works: "12345", server: []string{"-raw"}},
	{name: "B", worker: "raw-box", works: "6"},
	{name: "plain", worker: "plain", works: "123456", server: []string{}},
	{name: "box", worker: "box", works: "12345", server: []string{}},
	{name: "tcp", worker: "tcp", works: "12345", server: []string{"-tcp"}},
	{name: "direct", worker: "direct", works: "6", server: []string{}},
	{name: "direct-fd", worker: "direct-fd", works: "6", server: []string{}},
	{name: "direct-tcp", worker: "direct-tcp", works: "6", server: []string{"-tcp"}},
	{name: "auto", worker: "auto", works: "6", server: []string{}},
}

// stage is a subject's processes, for one work.
type stage struct {
	dir     string
	server  *child // nil for D and B
	addr    string
	workers []*child
}

// setup starts a subject's server, with more arguments if wanted.
func (s subject) setup(more ...string) (*stage, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	st := &stage{dir: dir, addr: filepath.Join(dir, "callee.sock")}
	if s.server == nil {
		return st, nil
	}
	args := append([]string{"server", "-dir", dir}, s.server...)
	if st.server, err = start(append(args, more...)...); err != nil {
		st.end()
		return nil, err
	}
	if st.addr, err = st.server.ready(); err != nil {
		st.end()
		return nil, err
	}
	return st, nil
}

// add starts n workers. They dial only when told to.
func (st *stage) add(s subject, n int) error {
	for range n {
		w, err := start("worker", s.worker)
		if err != nil {
			return err
		}
		st.workers = append(st.workers, w)
	}
	return nil
}

// pair sets up a subject's server, a callee that serves and a caller.
func (s subject) pair(more ...string) (st *stage, caller *child, err error) {
	if st, err = s.setup(more...); err != nil {
		return nil, nil, err
	}
	if err = st.add(s, 2); err == nil {
		err = st.dial()
	}
	if err == nil {
		_, err = st.workers[0].do(drive.Request{Op: "serve", Name: "callee"})
	}
	if err != nil {
		st.end()
		return nil, nil, err
	}
	return st, st.workers[1], nil
}

// dial makes each worker dial, as w0, w1 and so on.
func (st *stage) dial() error {
	for i, w := range st.workers {
		if _, err := w.do(drive.Request{Op: "dial", Addr: st.addr, ID: fmt.Sprintf("w%d", i)}); err != nil {
			return err
		}
	}
	return nil
}

// end ends the workers, then the server, and removes the files.
func (st *stage) end() {
	for _, w := range st.workers {
		w.end()
	}
	if st.server != nil {
		st.server.end()
	}
	os.RemoveAll(st.dir)
}

// used is the processor time of the server, and of all processes.
func (st *stage) used() (server, all time.Duration) {
	if st.server != nil {
		server = cpu(st.server.pid())
	}
	all = server
	for _, w := range st.workers {
		all += cpu(w.pid())
	}
	return server, all
}

// costing carries out f and returns the processor time that it took the server,
// and all processes.
func (st *stage) costing(f func() error) (server, all time.Duration, err error) {
	server0, all0 := st.used()
	err = f()
	server, all = st.used()
	return server - server0, all - all0, err
}
