package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// What is spare takes the place of the file, again and again.
func TestWriteSpare(t *testing.T) {
	dir := t.TempDir()
	path, spare := filepath.Join(dir, "run.json"), filepath.Join(dir, "run.json.spare")
	if err := errors.Join(WriteFile(path, []byte("first   "), 0o600), MakeSpare(spare, 8, 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		want := strings.Repeat(fmt.Sprint(i), 8-2*i)
		if err := WriteSpare(path, spare, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || len(got) != 8 || strings.TrimRight(string(got), " ") != want {
			t.Fatalf("read back %q, %v; want %q", got, err, want)
		}
		if runtime.GOOS != "linux" {
			break // there is no other
		}
		if info, err := os.Stat(spare); err != nil || info.Size() != 8 {
			t.Fatalf("what is spare: %v, %v", info, err)
		}
	}
}

// Where it cannot be used, nothing has changed.
func TestWriteSpareRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		make func(path, spare string) error
		want error
	}{
		"none":      {func(string, string) error { return nil }, fs.ErrNotExist},
		"too small": {func(_, spare string) error { return MakeSpare(spare, 3, 0o600) }, fs.ErrInvalid},
		"directory": {func(_, spare string) error { return os.Mkdir(spare, 0o700) }, fs.ErrInvalid},
		"link":      {func(path, spare string) error { return os.Symlink(path, spare) }, fs.ErrInvalid},
		"itself":    {func(path, spare string) error { return os.Link(path, spare) }, fs.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, spare := filepath.Join(dir, "run.json"), filepath.Join(dir, "run.json.spare")
			if err := WriteFile(path, []byte("theirs"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.make(path, spare); err != nil {
				t.Skip("needs to make a ", name, ": ", err)
			}
			before := fmt.Sprint(names(t, dir))
			if err := WriteSpare(path, spare, []byte("ours")); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "theirs" {
				t.Errorf("it holds %q, %v", got, err)
			}
			if after := fmt.Sprint(names(t, dir)); after != before {
				t.Errorf("%s, was %s", after, before)
			}
		})
	}
}
