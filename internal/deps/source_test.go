package deps_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the top of the module, seen from here.
var root = filepath.Join("..", "..")

// source is one Go file of the module.
type source struct {
	path  string // below the module, with slashes
	text  string
	file  *ast.File
	files *token.FileSet
}

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// dir is the package's place below the module.
func (s *source) dir() string {
	if i := strings.LastIndexByte(s.path, '/'); i >= 0 {
		return s.path[:i]
	}
	return "."
}

func (s *source) line(p token.Pos) int { return s.files.Position(p).Line }

// commented reports whether a comment begins with prefix and goes on.
func (s *source) commented(prefix string) bool {
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if rest, ok := strings.CutPrefix(c.Text, prefix); ok && strings.TrimSpace(rest) != "" {
				return true
			}
		}
	}
	return false
}

// load parses every Go file of the module, whatever its build tags, except
// nested modules, testdata, hidden folders and generated files.
func load(t *testing.T) []*source {
	t.Helper()
	var all []*source
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && skipped(path, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s, err := parse(files, filepath.ToSlash(below), string(text))
		if err == nil && !ast.IsGenerated(s.file) {
			all = append(all, s)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d Go files, want the whole module", len(all))
	}
	return all
}

// parse makes a source of one file.
func parse(files *token.FileSet, path, text string) (*source, error) {
	file, err := parser.ParseFile(files, path, text, parser.ParseComments|parser.SkipObjectResolution)
	return &source{path, text, file, files}, err
}

// skipped reports whether a folder is none of the module's own source.
func skipped(path, name string) bool {
	if name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}
