package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cad2f06c/switchboard/names"
)

// plan is rights that are being made.
type plan struct {
	tenant      string
	rules       []Rule
	own, others sprig
	named       map[string]*sprig
}

// sprig is a node that still grows.
type sprig struct {
	word        string
	next        []*sprig // by compareWords
	any         *sprig
	here, below [verbs]ref
}

// rule enters a rule.
func (p *plan) rule(r Rule) ref {
	p.rules = append(p.rules, r)
	return ref(len(p.rules))
}

// add enters a pattern of v and of every verb that v implies. Rules that came before
// stay.
func (p *plan) add(pattern Pattern, v Verb, rule ref) {
	s := &p.own
	switch {
	case pattern.scope == scopeOthers:
		s = &p.others
	case pattern.scope == scopeNamed && pattern.tenant != p.tenant:
		if p.named == nil {
			p.named = make(map[string]*sprig)
		}
		if p.named[pattern.tenant] == nil {
			p.named[pattern.tenant] = &sprig{}
		}
		s = p.named[pattern.tenant]
	}
	s.add(pattern.names, v, rule)
}

// addAll enters patterns under one rule.
func (p *plan) addAll(patterns []Pattern, v Verb, rule ref) {
	for _, pattern := range patterns {
		p.add(pattern, v, rule)
	}
}

func (s *sprig) add(p names.Pattern, v Verb, rule ref) {
	for rest, more := p.String(), true; more; {
		var word string
		word, rest, more = strings.Cut(rest, ".")
		if word == "**" {
			fill(&s.below, v, rule)
			return
		}
		s = s.grow(word)
	}
	fill(&s.here, v, rule)
}

func fill(rules *[verbs]ref, v Verb, rule ref) {
	for i := range v + 1 {
		if rules[i] == 0 {
			rules[i] = rule
		}
	}
}

// compareWords orders by length, which is at hand, and then by text.
func compareWords(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// grow returns the sprig behind word, made if need be.
func (s *sprig) grow(word string) *sprig {
	if word == "*" {
		if s.any == nil {
			s.any = &sprig{word: word}
		}
		return s.any
	}
	i, ok := slices.BinarySearchFunc(s.next, word, func(s *sprig, word string) int { return compareWords(s.word, word) })
	if !ok {
		s.next = slices.Insert(s.next, i, &sprig{word: word})
	}
	return s.next[i]
}

// rights compiles the plan.
func (p *plan) rights() *rights {
	r := &rights{tenant: p.tenant, rules: slices.Clip(p.rules), own: p.own.tree(), others: p.others.tree()}
	if len(p.named) > 0 {
		r.named = make(map[string]tree, len(p.named))
	}
	for tenant, s := range p.named {
		r.named[tenant] = s.tree()
	}
	return r
}

// tree lays a sprig and all behind it out in one piece.
func (s *sprig) tree() tree {
	t := tree{{here: s.here, below: s.below}}
	for i, line := 0, []*sprig{s}; i < len(line); i++ {
		s := line[i]
		t[i].next, t[i].count = uint32(len(t)), uint32(len(s.next))
		behind := s.next
		if s.any != nil {
			t[i].any = uint32(len(t) + len(s.next))
			behind = append(slices.Clip(behind), s.any)
		}
		for _, b := range behind {
			t = append(t, node{word: b.word, here: b.here, below: b.below})
		}
		line = append(line, behind...)
	}
	return slices.Clip(t)
}
