package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// The library promises that a server is wired in under 40 lines, and the README
// shows those that are compiled here.
func TestWiring(t *testing.T) {
	const path, most = "upgrade.go", 39
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var code string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "upgrades" && f.Recv != nil {
			code = string(text[fset.Position(f.Pos()).Offset:fset.Position(f.End()).Offset])
		}
	}
	if code == "" {
		t.Fatalf("%s has no method upgrades", path)
	}
	lines := 0
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	if lines > most {
		t.Errorf("the wiring has %d lines, more than %d", lines, most)
	}

	readme, err := os.ReadFile("../../README.md")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(readme), "```go\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		if strings.Contains(block, "func (s *server) upgrades(") {
			if !strings.Contains(block+"\n", code+"\n") {
				t.Errorf("the README shows other wiring than %s has; it is to show:\n%s", path, code)
			}
			return
		}
	}
	t.Errorf("no Go block of the README shows func (s *server) upgrades of %s", path)
}
