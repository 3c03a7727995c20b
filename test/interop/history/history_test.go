// Package history checks what clients see of a name at once against the rule
// for names, by a linearizability checker.
package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// input is one call on one name by one of the clients.
type input struct {
	call   string
	client int
}

// output is its answer.
type output struct {
	code  client.Code // "" for success
	owner int         // of a get
	rev   uint64      // epoch of a claim or get, rev of a release
}

// state is a name at one moment.
type state struct {
	owner   int // nobody: free
	epoch   uint64
	changes int // so far
}

// nobody owns a free name.
const nobody = -1

// model is the rule for one name: claims without flags, releases, lookups. revs
// are those of all changes in order: the counter that the server gives out must
// agree with the order that is found, which also keeps the search short.
func model(revs []uint64) porcupine.Model {
	change := func(s state, rev uint64, owner int) (bool, any) {
		ok := s.changes < len(revs) && revs[s.changes] == rev
		return ok, state{owner, rev, s.changes + 1}
	}
	return porcupine.Model{
		Init: func() any { return state{owner: nobody} },
		Step: func(before, in, out any) (bool, any) {
			s, i, o := before.(state), in.(input), out.(output)
			switch {
			case i.call == "claim" && s.owner == nobody:
				ok, after := change(s, o.rev, i.client)
				return ok && o.code == "", after
			case i.call == "claim" && s.owner == i.client:
				return o.code == "" && o.rev == s.epoch, s
			case i.call == "claim":
				return o.code == client.NameTaken, s
			case i.call == "release" && s.owner == i.client:
				ok, after := change(s, o.rev, nobody)
				return ok && o.code == "", after
			case i.call == "release":
				return o.code == client.NotOwner, s
			case s.owner == nobody:
				return o.code == client.NotFound, s
			default:
				return o.code == "" && o.owner == s.owner && o.rev == s.epoch, s
			}
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
	}
}

// changes returns the revs of the changes in a history.
func changes(ops []porcupine.Operation) (revs []uint64) {
	for _, op := range ops {
		if out := op.Output.(output); out.code == "" && op.Input.(input).call != "get" {
			revs = append(revs, out.rev)
		}
	}
	slices.Sort(revs)
	return slices.Compact(revs) // a claim of what one owns repeats its epoch
}

// TestNames lets clients claim, release and look up one name at random and at
// once, many times over: each history fits an order in which the calls happen
// one after the other, each between its start and its answer.
func TestNames(t *testing.T) {
	const clients, calls, histories = 10, 30, 40
	h := host.Start(t)
	var peers []*client.Client
	ids := make(map[shs.PublicKey]int)
	for i := range clients {
		key := shs.GenerateKey()
		ids[key.Public()] = i
		peers = append(peers, h.Client(t, "unix", key))
	}
	began := time.Now()
	for n := range histories {
		name := fmt.Sprintf("org.example.h%d", n)
		var mu sync.Mutex
		var ops []porcupine.Operation
		var wg sync.WaitGroup
		for i, c := range peers {
			r := rand.New(rand.NewPCG(uint64(n), uint64(i)))
			wg.Go(func() {
				for range calls {
					in := input{[]string{"claim", "claim", "release", "get"}[r.IntN(4)], i}
					start := time.Since(began)
					out, err := do(t, c, in, name, ids)
					if err != nil {
						t.Error(err)
						return
					}
					op := porcupine.Operation{ClientId: i, Input: in, Call: int64(start), Output: out, Return: int64(time.Since(began))}
					mu.Lock()
					ops = append(ops, op)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for _, c := range peers {
			// Whoever has it; a key may only own so many.
			if _, err := do(t, c, input{"release", nobody}, name, ids); err != nil {
				t.Fatal(err)
			}
		}
		if res, info := porcupine.CheckOperationsVerbose(model(changes(ops)), ops, time.Minute); res != porcupine.Ok {
			path := t.ArtifactDir() + "/history.html"
			t.Fatalf("history %d of %d calls: %s; drawn in %s (%v)", n, len(ops), res, path, porcupine.VisualizePath(model(changes(ops)), info, path))
		}
	}
}

// TestModel shows that the checker finds what must not be.
func TestModel(t *testing.T) {
	op := func(client int, call string, from, to int64, out output) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: input{call, client}, Call: from, Return: to, Output: out}
	}
	free := output{code: client.NotFound, owner: nobody}
	for _, row := range []struct {
		name string
		ops  []porcupine.Operation
		ok   bool
	}{
		{"one after the other", []porcupine.Operation{op(0, "claim", 0, 1, output{rev: 5}), op(0, "release", 2, 3, output{rev: 6}), op(1, "claim", 4, 5, output{rev: 7})}, true},
		{"a lookup beside a claim", []porcupine.Operation{op(0, "claim", 0, 3, output{rev: 5}), op(1, "get", 1, 2, free)}, true},
		{"a lookup behind a claim", []porcupine.Operation{op(0, "claim", 0, 1, output{rev: 5}), op(1, "get", 2, 3, free)}, false},
		{"two owners", []porcupine.Operation{op(0, "claim", 0, 3, output{rev: 5}), op(1, "claim", 1, 2, output{rev: 6})}, false},
		{"revs in the wrong order", []porcupine.Operation{op(0, "claim", 0, 1, output{rev: 7}), op(0, "release", 2, 3, output{rev: 6})}, false},
		{"an epoch of another claim", []porcupine.Operation{op(0, "claim", 0, 1, output{rev: 5}), op(1, "get", 2, 3, output{owner: 0, rev: 4})}, false},
	} {
		if got := porcupine.CheckOperations(model(changes(row.ops)), row.ops); got != row.ok {
			t.Errorf("%s: got %v, want %v", row.name, got, row.ok)
		}
	}
}

// do makes one call. An error answer is an output; any other error is none.
func do(t *testing.T, c *client.Client, in input, name string, ids map[shs.PublicKey]int) (output, error) {
	var res struct {
		ID         shs.PublicKey
		Epoch, Rev uint64
	}
	err := c.Call(t.Context(), "names."+in.call, map[string]string{"name": name}, &res)
	out := output{owner: nobody, rev: res.Epoch}
	switch answer := (*client.Error)(nil); {
	case errors.As(err, &answer):
		return output{code: answer.Code, owner: nobody}, nil
	case in.call == "release":
		out.rev = res.Rev
	case in.call == "get":
		out.owner = ids[res.ID]
	}
	return out, err
}
