package policy

import (
	"slices"
	"strings"

	"github.com/cad2f06c/switchboard/names"
)

// verbs is how many verbs concern names.
const verbs = 3

// rights are the patterns of one hand, compiled: what they cost to ask depends on
// the elements of the name, and on how many patterns could still cover it.
type rights struct {
	tenant string // whose hand it is
	own    node   // for names of the own tenant
	others node   // for those of all others
	named  map[string]*node
}

// node is what is known of patterns with the same elements up to here: per verb the
// first rule of a pattern that ends here, or that goes on with "**" and ends.
type node struct {
	word  string
	next  []*node // by word
	any   *node   // behind "*"
	here  [verbs]*Rule
	below [verbs]*Rule
}

// add enters a pattern of v and of every verb that v implies. Rules that came before
// stay.
func (r *rights) add(p Pattern, v Verb, rule *Rule) {
	n := &r.own
	switch {
	case p.scope == scopeOthers:
		n = &r.others
	case p.scope == scopeNamed && p.tenant != r.tenant:
		if r.named == nil {
			r.named = make(map[string]*node)
		}
		if r.named[p.tenant] == nil {
			r.named[p.tenant] = &node{}
		}
		n = r.named[p.tenant]
	}
	n.add(p.names, v, rule)
}

func (n *node) add(p names.Pattern, v Verb, rule *Rule) {
	for rest, more := p.String(), true; more; {
		var word string
		word, rest, more = strings.Cut(rest, ".")
		if word == "**" {
			fill(&n.below, v, rule)
			return
		}
		n = n.grow(word)
	}
	fill(&n.here, v, rule)
}

func fill(rules *[verbs]*Rule, v Verb, rule *Rule) {
	for i := range v + 1 {
		if rules[i] == nil {
			rules[i] = rule
		}
	}
}

// grow returns the node behind word, made if need be.
func (n *node) grow(word string) *node {
	if word == "*" {
		if n.any == nil {
			n.any = &node{word: word}
		}
		return n.any
	}
	i, ok := slices.BinarySearchFunc(n.next, word, func(m *node, word string) int { return strings.Compare(m.word, word) })
	if !ok {
		n.next = slices.Insert(n.next, i, &node{word: word})
	}
	return n.next[i]
}

// find returns a rule that allows v with a name of tenant, or nil.
func (r *rights) find(v Verb, tenant string, name names.Name) *Rule {
	if tenant == r.tenant {
		return r.own.find(v, string(name))
	}
	if n := r.named[tenant]; n != nil {
		if rule := n.find(v, string(name)); rule != nil {
			return rule
		}
	}
	return r.others.find(v, string(name))
}

func (n *node) find(v Verb, name string) *Rule {
	for {
		if rule := n.below[v]; rule != nil {
			return rule // the name has at least this one element more
		}
		word, rest, more := name, "", false
		if i := strings.IndexByte(name, '.'); i >= 0 {
			word, rest, more = name[:i], name[i+1:], true
		}
		next := n.child(word)
		switch {
		case next == nil:
			next = n.any
		case n.any == nil:
		case more:
			if rule := next.find(v, rest); rule != nil {
				return rule
			}
			next = n.any
		case next.here[v] == nil:
			next = n.any
		}
		if next == nil {
			return nil
		}
		if !more {
			return next.here[v]
		}
		n, name = next, rest
	}
}

// child returns the node behind a word that is no "*", or nil.
func (n *node) child(word string) *node {
	low, high := 0, len(n.next)
	for low < high {
		mid := int(uint(low+high) / 2)
		switch m := n.next[mid]; {
		case m.word == word:
			return m
		case m.word < word:
			low = mid + 1
		default:
			high = mid
		}
	}
	return nil
}

// all reports whether a "**" allows v with every name of tenant.
func (r *rights) all(v Verb, tenant string) bool {
	if tenant == r.tenant {
		return r.own.below[v] != nil
	}
	n := r.named[tenant]
	return n != nil && n.below[v] != nil || r.others.below[v] != nil
}
