package showtest

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// Wiring checks that the functions of these names in the Go file path have at
// most so many lines of code together, and that the README, where it shows the
// first of them, shows them as they are compiled. It returns whether it does.
func Wiring(t testing.TB, path string, most int, readme string, names ...string) (shown bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	lines := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !slices.Contains(names, f.Name.Name) {
			continue
		}
		code := string(text[fset.Position(f.Pos()).Offset:fset.Position(f.End()).Offset])
		found = append(found, code)
		for line := range strings.Lines(code) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
	}
	if len(found) != len(names) {
		t.Fatalf("%s has not all of %q", path, names)
	}
	if lines > most {
		t.Errorf("the wiring has %d lines, more than %d", lines, most)
	}

	b, err := os.ReadFile(readme)
	if errors.Is(err, fs.ErrNotExist) {
		return true // it is not there to be held against it
	}
	if err != nil {
		t.Fatal(err)
	}
	// Two examples may have functions of the same name: the heads tell them apart.
	head, _, _ := strings.Cut(found[0], "\n")
	for _, block := range strings.Split(string(b), "```go\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		if !strings.Contains(block+"\n", head+"\n") {
			continue
		}
		for _, code := range found {
			if !strings.Contains(block+"\n", code+"\n") {
				t.Errorf("the README shows other wiring than %s has; it is to show:\n%s", path, code)
			}
		}
		return true
	}
	return false
}
