package deps_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// maxNames is how many exported names shs may have beside keys and addresses.
const maxNames = 15

// TestNames counts what a reader of shs has to learn.
func TestNames(t *testing.T) {
	var got []string
	for _, s := range load(t) {
		if s.dir() == "shs" && !s.test() {
			got = append(got, exported(s)...)
		}
	}
	rest := slices.DeleteFunc(got, func(name string) bool {
		return strings.Contains(name, "Key") || strings.Contains(name, "Address")
	})
	slices.Sort(rest)
	if rest = slices.Compact(rest); len(rest) > maxNames || len(rest) == 0 { // systems have files of their own
		t.Errorf("shs has %d exported names beside keys and addresses, limit %d: %v", len(rest), maxNames, rest)
	}
}

// exported lists the exported names of a file, without methods.
func exported(s *source) (names []string) {
	add := func(id *ast.Ident) {
		if id.IsExported() {
			names = append(names, id.Name)
		}
	}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name)
			}
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add(spec.Name)
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						add(id)
					}
				}
			}
		}
	}
	return names
}
