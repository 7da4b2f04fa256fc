package deptest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A File is what the rules look at in one Go file.
type File struct {
	Package string // import path of its directory, relative to the module; "." for the root
	Name    string
	Test    bool // ends in _test.go
	Imports []string
	Uses    []string // "init" and "os.Stderr", where it has them
}

// Load reads all Go files of the module in fsys, those of every operating
// system and of tests included. Nested modules, testdata and what the go
// command ignores are left out.
func Load(fsys fs.FS) ([]File, error) {
	var files []File
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		hidden := name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_"))
		if d.IsDir() {
			if hidden || base == "testdata" || base == "vendor" {
				return fs.SkipDir
			}
			if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); name != "." && err == nil {
				return fs.SkipDir
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}
		if hidden || !strings.HasSuffix(base, ".go") {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		f, err := parse(name, data)
		files = append(files, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("deptest: read the module: %w", err)
	}
	return files, nil
}

func parse(name string, data []byte) (File, error) {
	f := File{Package: path.Dir(name), Name: path.Base(name), Test: strings.HasSuffix(name, "_test.go")}
	syntax, err := parser.ParseFile(token.NewFileSet(), name, data, parser.SkipObjectResolution)
	if err != nil {
		return f, err
	}
	osName := ""
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return f, err
		}
		f.Imports = append(f.Imports, imported)
		if imported == "os" {
			osName = "os"
			if spec.Name != nil {
				osName = spec.Name.Name
			}
		}
	}
	ast.Inspect(syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				f.Uses = append(f.Uses, "init")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == osName && n.Sel.Name == "Stderr" {
				f.Uses = append(f.Uses, "os.Stderr")
			}
		}
		return true
	})
	if osName == "." {
		// Nothing would tell Stderr from a name of the package's own.
		f.Uses = append(f.Uses, "os.Stderr")
	}
	return f, nil
}
