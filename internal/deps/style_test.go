package deps_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxFile = 400 // lines
	maxFunc = 60  // lines
)

// report says what is wrong, and where.
type report func(s *source, at token.Pos, format string, args ...any)

// bars are what the source is held to. Each looks at the whole module.
var bars = []struct {
	name  string
	check func([]*source, report)
}{
	{"sizes", checkSizes},
	{"goroutines", checkGoroutines},
	{"sleep", checkSleep},
	{"background", checkBackground},
	{"words", checkWords},
	{"comments", checkComments},
	{"globals", checkGlobals},
}

func TestStyle(t *testing.T) {
	all := load(t)
	for _, bar := range bars {
		t.Run(bar.name, func(t *testing.T) {
			bar.check(all, func(s *source, at token.Pos, format string, args ...any) {
				t.Errorf("%s:%d: %s", s.path, s.line(at), fmt.Sprintf(format, args...))
			})
		})
	}
}

// checkSizes: what does not fit a few screens is read by nobody.
func checkSizes(all []*source, report report) {
	for _, s := range all {
		if s.test() || s.commented("// long:") {
			continue
		}
		if n := strings.Count(s.text, "\n"); n > maxFile {
			report(s, s.file.Package, "the file has %d lines, more than %d", n, maxFile)
		}
		eachFunc(s, func(f *ast.FuncDecl) {
			if lines := s.line(f.End()) - s.line(f.Pos()) + 1; lines > maxFunc {
				report(s, f.Pos(), "%s has %d lines, more than %d", f.Name.Name, lines, maxFunc)
			}
		})
	}
}

// checkGoroutines: a goroutine belongs to somebody who waits for it, so it is
// started with sync.WaitGroup.Go.
func checkGoroutines(all []*source, report report) {
	for _, s := range all {
		if s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				report(s, g.Pos(), "go statement: who waits for it?")
			}
			return true
		})
	}
}

// checkSleep: a test that sleeps is slow on a fast machine and fails on a slow
// one. Inside a synctest bubble a sleep costs nothing; outside, one helper polls.
func checkSleep(all []*source, report report) {
	bubbles := make(map[string]bool) // "folder function" → its body is a bubble
	for _, s := range all {
		eachFunc(s, func(f *ast.FuncDecl) {
			if s.test() && len(mentions(f, "synctest", "Test")) > 0 {
				bubbles[s.dir()+" "+f.Name.Name] = true
			}
		})
	}
	for _, s := range all {
		if !s.test() || imports(s, "testing/synctest") || polls(s) {
			continue
		}
		eachFunc(s, func(f *ast.FuncDecl) {
			inside := false
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if id, ok := call.Fun.(*ast.Ident); ok && bubbles[s.dir()+" "+id.Name] {
						inside = true
					}
				}
				return !inside
			})
			for _, p := range mentions(f, "time", "Sleep") {
				if !inside {
					report(s, p, "time.Sleep outside synctest and a poll helper")
				}
			}
		})
	}
}

// eachFunc calls do with every function of s.
func eachFunc(s *source, do func(*ast.FuncDecl)) {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			do(f)
		}
	}
}

// checkBackground: a context without an end is for those who are at the end
// themselves.
func checkBackground(all []*source, report report) {
	for _, s := range all {
		if s.test() || fitsAny([]string{"cmd/...", "examples/...", "bench/...", "test/..."}, s.dir()) {
			continue
		}
		for _, name := range []string{"Background", "TODO"} {
			for _, p := range mentions(s.file, "context", name) {
				report(s, p, "context.%s: take a context from the caller", name)
			}
		}
	}
}

var (
	unfinished  = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	textMatched = regexp.MustCompile(`strings\.(Contains|HasPrefix|HasSuffix|EqualFold)\([A-Za-z]*[eE]rr(or)?(\.Error\(\))?,`)
)

// checkWords: what a reader should not meet.
func checkWords(all []*source, report report) {
	for _, s := range all {
		for _, group := range s.file.Comments {
			if unfinished.MatchString(group.Text()) {
				report(s, group.Pos(), "unfinished: open an issue instead")
			}
		}
		if s.test() {
			continue
		}
		for _, at := range textMatched.FindAllStringIndex(s.text, -1) {
			report(s, s.file.FileStart+token.Pos(at[0]), "an error is told by errors.Is, not by its text")
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					report(s, n.Pos(), "init runs where nobody looks")
				}
			case *ast.InterfaceType:
				if len(n.Methods.List) == 0 {
					report(s, n.Pos(), "interface{}: write any, or better the type")
				}
			}
			return true
		})
	}
}

// checkComments: every exported name says what it is.
func checkComments(all []*source, report report) {
	var documented []string // folders whose package has a comment
	for _, s := range all {
		if !s.test() && s.file.Doc != nil {
			documented = append(documented, s.dir())
		}
	}
	for _, s := range all {
		if s.test() {
			continue
		}
		if !slices.Contains(documented, s.dir()) {
			report(s, s.file.Package, "the package has no comment")
		}
		for _, d := range s.file.Decls {
			for _, name := range bare(d) {
				report(s, name.Pos(), "%s has no comment", name.Name)
			}
		}
	}
}

// bare lists the exported names of a declaration that have no comment. A comment on
// a group of constants or variables serves all of them.
func bare(d ast.Decl) (names []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && spec.Doc == nil && spec.Comment == nil && (d.Doc == nil || d.Lparen.IsValid()) {
					names = append(names, spec.Name)
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if name.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
						names = append(names, name)
					}
				}
			}
		}
	}
	return names
}

// exportedReceiver reports whether f is a function, or a method of an exported type.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	exported := true
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			exported = id.IsExported()
			return false
		}
		_, list := n.(*ast.IndexListExpr)
		return !list
	})
	return exported
}

// imports reports whether s imports path.
func imports(s *source, path string) bool {
	for _, i := range s.file.Imports {
		if strings.Trim(i.Path.Value, `"`) == path {
			return true
		}
	}
	return false
}

// polls reports whether s is where a package keeps its poll helper.
func polls(s *source) (found bool) {
	eachFunc(s, func(f *ast.FuncDecl) { found = found || f.Name.Name == "poll" || f.Name.Name == "eventually" })
	return found
}

// mentions finds where in n a function of a standard package is called or passed on.
func mentions(n ast.Node, pkg, name string) (at []token.Pos) {
	ast.Inspect(n, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == name {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == pkg {
				at = append(at, sel.Pos())
			}
		}
		return true
	})
	return at
}
