package policy

import (
	"strings"

	"github.com/cad2f06c/switchboard/names"
)

// verbs is how many verbs concern names.
const verbs = 3

// rights are the patterns of one hand, compiled: what they cost to ask depends on
// the elements of the name, and on how many patterns could still cover it.
type rights struct {
	tenant string // whose hand it is
	rules  []Rule
	own    tree // for names of the own tenant
	others tree // for those of all others
	named  map[string]tree
}

// tree holds patterns by their elements. The first node is the root; the nodes behind
// one stand together, for a decision is as quick as memory is near.
type tree []node

// node is what is known of patterns with the same elements up to here: per verb the
// rule of a pattern that ends here, or that goes on with "**" and ends.
type node struct {
	word        string
	next, count uint32 // the nodes behind this one, by length and text of their words
	any         uint32 // the node behind "*"; 0: none
	here, below [verbs]ref
}

// ref is the place of a rule, from 1; 0 is no rule.
type ref uint32

// find returns a rule that allows v with a name of tenant, or nil.
func (r *rights) find(v Verb, tenant string, name names.Name) *Rule {
	var found ref
	if tenant == r.tenant {
		found = r.own.find(0, v, string(name))
	} else {
		if len(r.named) > 0 {
			found = r.named[tenant].find(0, v, string(name))
		}
		if found == 0 {
			found = r.others.find(0, v, string(name))
		}
	}
	if found == 0 {
		return nil
	}
	return &r.rules[found-1]
}

// find returns a rule for v with what is left of a name behind the node at.
func (t tree) find(at uint32, v Verb, name string) ref {
	if len(t) == 0 {
		return 0
	}
	for {
		n := &t[at]
		if n.below[v] != 0 {
			return n.below[v] // the name has at least this one element more
		}
		word, rest, more := name, "", false
		if i := strings.IndexByte(name, '.'); i >= 0 {
			word, rest, more = name[:i], name[i+1:], true
		}
		next := t.child(n, word)
		switch {
		case next == 0:
			next = n.any
		case n.any == 0:
		case more:
			if found := t.find(next, v, rest); found != 0 {
				return found
			}
			next = n.any
		case t[next].here[v] == 0:
			next = n.any
		}
		if next == 0 {
			return 0
		}
		if !more {
			return t[next].here[v]
		}
		at, name = next, rest
	}
}

// child returns the node behind n and a word that is no "*", or 0.
func (t tree) child(n *node, word string) uint32 {
	low, high := n.next, n.next+n.count
	for low < high {
		mid := (low + high) / 2
		at := t[mid].word
		if at == word {
			return mid
		}
		if len(at) < len(word) || len(at) == len(word) && at < word {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return 0
}

// all reports whether a "**" allows v with every name of tenant.
func (r *rights) all(v Verb, tenant string) bool {
	if tenant == r.tenant {
		return r.own.all(v)
	}
	return r.named[tenant].all(v) || r.others.all(v)
}

func (t tree) all(v Verb) bool { return len(t) > 0 && t[0].below[v] != 0 }
