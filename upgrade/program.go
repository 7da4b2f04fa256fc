package upgrade

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// A Program is the executable of the running process, as it was when the
// process started. Find it first thing: after a replacement the operating
// system answers with another name.
type Program struct {
	Path string      // absolute, symbolic links resolved
	Info fs.FileInfo // of the file that runs; compare with os.SameFile

	sum func(context.Context) (archive.Digest, error)
}

// FindProgram returns the Program of the running process. The error says why it
// cannot be found: it was removed, or its file system does not tell.
func FindProgram() (Program, error) {
	path, err := os.Executable()
	if err != nil {
		return Program{}, fmt.Errorf("upgrade: find the running program: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return Program{}, fmt.Errorf("upgrade: find the running program: %w", err)
	}
	return ProgramAt(path)
}

// ProgramAt returns the Program at path, for tests and for servers that are not
// their own executable.
func ProgramAt(path string) (Program, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Program{}, fmt.Errorf("upgrade: find the running program: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return Program{}, fmt.Errorf("upgrade: find the running program: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return Program{}, fmt.Errorf("upgrade: find the running program: %w", err)
	}
	// The open file is the one that runs even after another took its name.
	s := &programSum{file: f, size: info.Size(), busy: make(chan struct{}, 1)}
	return Program{Path: path, Info: info, sum: s.get}, nil
}

// Digest returns the digest of the bytes that run. It reads them once.
func (p Program) Digest(ctx context.Context) (archive.Digest, error) {
	if p.sum == nil {
		return "", fmt.Errorf("upgrade: digest of the running program: %w", fs.ErrInvalid)
	}
	return p.sum(ctx)
}

// info is what was told of the file that runs, before its digest was taken; zero
// of a Program that was not found.
func (p Program) info() durable.Info {
	if p.Info == nil {
		return durable.Info{}
	}
	return durable.InfoOf(p.Info)
}

// Dir is the directory of the program, and Base its name there.
func (p Program) Dir() string  { return filepath.Dir(p.Path) }
func (p Program) Base() string { return filepath.Base(p.Path) }

// Names of the files that are kept beside the program. They follow from its
// path alone: Boot runs before any configuration, and a sudoers rule has to be
// able to name the file it permits.
func (p Program) beside(what string) string {
	return filepath.Join(p.Dir(), "."+p.Base()+"."+what)
}

// NextPath is where the new program is prepared, PreviousPath where the one it
// displaced is kept.
func (p Program) NextPath() string     { return p.beside("upgrade") }
func (p Program) PreviousPath() string { return p.beside("previous") }
func (p Program) journalPath() string  { return p.beside("upgrade.json") }
func (p Program) sparePath() string    { return p.beside("upgrade.json.spare") }
func (p Program) probePath() string    { return p.beside("probe") }

type programSum struct {
	busy chan struct{} // held while reading; a mutex would stop a test's clock
	file *os.File
	size int64
	d    archive.Digest
}

func (s *programSum) get(ctx context.Context) (archive.Digest, error) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if s.d != "" {
		return s.d, nil
	}
	h := newHash()
	if _, err := io.Copy(h, io.NewSectionReader(s.file, 0, s.size)); err != nil {
		return "", fmt.Errorf("upgrade: digest of the running program: %w", err)
	}
	s.d = h.digest()
	return s.d, nil
}
