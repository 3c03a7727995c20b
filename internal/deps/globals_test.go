package deps_test

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// checkGlobals: two servers in one process share nothing, so a variable of a package
// is a constant that Go cannot write as one: an error, a table, a compile-time
// check. It has a value from the start, is no lock or counter, and nobody assigns to
// it, to a part of it, or takes its address. A sync.Pool of free memory may be one:
// nobody can tell who used it before, and a pool for each owner would keep memory
// for the idle ones.
func checkGlobals(all []*source, report report) {
	packages := make(map[string][]*source)
	for _, s := range all {
		if !s.test() {
			packages[s.dir()] = append(packages[s.dir()], s)
		}
	}
	for _, sources := range packages {
		for _, s := range sources {
			checkDeclared(s, report)
		}
		checkUses(sources, report)
	}
}

// checkDeclared looks at the declarations of variables at package level.
func checkDeclared(s *source, report report) {
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			switch {
			case v.Names[0].Name == "_":
			case len(v.Values) == 0 && zeros(v.Type):
			case len(v.Values) == 0:
				if !embedded(g.Doc) && !embedded(v.Doc) {
					report(s, v.Pos(), "variable %s has no value, so it is state", v.Names[0].Name)
				}
			case stateful(v.Type) || stateful(v.Values[0]):
				report(s, v.Pos(), "variable %s is state", v.Names[0].Name)
			}
		}
	}
}

// zeros reports whether a type is an array of numbers: without a value it is a table
// of zeros, and no method can change it.
func zeros(e ast.Expr) bool {
	a, ok := e.(*ast.ArrayType)
	if !ok || a.Len == nil {
		return false
	}
	id, ok := a.Elt.(*ast.Ident)
	return ok && types.Universe.Lookup(id.Name) != nil
}

// embedded reports whether a comment has the compiler fill the variable.
func embedded(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// stateful finds types of sync and sync/atomic, except free memory in a sync.Pool and
// the memos sync.OnceValue and its kin, which are constants computed late.
func stateful(e ast.Expr) bool {
	found := false
	if e == nil {
		return false
	}
	ast.Inspect(e, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			return false
		}
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && (id.Name == "atomic" || id.Name == "sync" && sel.Sel.Name != "Pool" && !strings.HasPrefix(sel.Sel.Name, "OnceV")) {
				found = true
			}
		}
		return true
	})
	return found
}

// nothing imports no package. The checker then knows nothing of other packages,
// but still which variable each name of this one means.
type nothing struct{}

func (nothing) Import(string) (*types.Package, error) {
	return nil, errors.New("not needed")
}

// checkUses finds where a variable of the package is changed.
func checkUses(sources []*source, report report) {
	var files []*ast.File
	for _, s := range sources {
		files = append(files, s.file)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: nothing{}, Error: func(error) {}}
	checked, _ := config.Check(sources[0].dir(), sources[0].files, files, info) // the errors are those of the missing imports
	for _, s := range sources {
		changed := func(e ast.Expr) {
			id := base(e)
			if id == nil {
				return
			}
			if v, ok := info.Uses[id].(*types.Var); ok && v.Parent() == checked.Scope() {
				report(s, id.Pos(), "variable %s of the package is changed here, or can be", id.Name)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					changed(e)
				}
			case *ast.IncDecStmt:
				changed(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					changed(n.X)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") {
					changed(n.Args[0])
				}
			}
			return true
		})
	}
}

// base is the variable that an expression is, or is a part of.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}
