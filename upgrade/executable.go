package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/capabilities"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// An Executable is the Replacer of the program of the local server and of the
// files beside it that go with it. Only Program is required.
//
// All it makes lies beside the program, under names that follow from the
// program's path: .NAME.upgrade is the new program until Commit, .NAME.previous
// the one that was displaced, .NAME.previous.next that which will be once the
// Commit is made, and .NAME.upgrade.list says what is prepared, so that a later
// process can go on. Companions have the first three under their own names.
// Every copy is made under .NAME.upgrade, whatever becomes of it: a rule of
// sudo that lets capabilities be given to that one path is enough.
//
// The program's file is never written to and never renamed away. On Windows,
// where a running program cannot be replaced by one rename, all calls return an
// error that wraps errors.ErrUnsupported.
type Executable struct {
	Program    Program             // that is replaced
	Platform   archive.Platform    // whose files are taken from an archive; that of this build if zero
	Companions []string            // base names of files beside the program, replaced with it where present
	Copier     capabilities.Copier // capabilities.File{} if nil

	fs durable.FS // durable.OS{} if nil
}

var _ Replacer = (*Executable)(nil)

// ErrChanged is returned, wrapped, when a file is not as Prepare left it:
// somebody else has replaced the program, or touched what was prepared. Discard
// and Prepare again, once it is known who.
var ErrChanged = errors.New("changed since it was prepared")

// Prepare implements Replacer. Where the kernel refuses to keep the owner or to
// make a hard link, the new program belongs to the user of this process, and
// the previous one is kept as a copy; Notes say so. They also name companions
// that were left out. A setuid or setgid program whose owner cannot be kept is
// refused.
func (e *Executable) Prepare(ctx context.Context, v archive.Verified) (Prepared, error) {
	if v.IsZero() {
		return Prepared{}, fmt.Errorf("upgrade: prepare %s: the release was not checked: %w", e.Program.Path, fs.ErrInvalid)
	}
	return e.prepare(ctx, v.Release().For(e.platform()), v.Open)
}

type openFunc func(ctx context.Context, name string) (io.ReadSeekCloser, int64, error)

// Commit implements Replacer. What lies prepared is compared with what Prepare
// left, and nothing is put in place unless all files are as they were.
func (e *Executable) Commit(ctx context.Context) error {
	s, err := e.swap("commit")
	if err != nil {
		return err
	}
	return s.wrap(s.commit(ctx))
}

// Discard implements Replacer. After a Commit that stopped between two files it
// puts those that were already in place back.
func (e *Executable) Discard(ctx context.Context) error {
	s, err := e.swap("discard what is prepared for")
	if err != nil {
		return err
	}
	return s.wrap(s.discard(ctx))
}

// Restore implements Replacer. What is prepared is discarded first. Companions
// that were replaced together with the program are put back before it. On a disk
// with no room for a second name, a file that was put back is kept no more.
func (e *Executable) Restore(ctx context.Context) error {
	s, err := e.swap("restore")
	if err != nil {
		return err
	}
	return s.wrap(s.restore(ctx, true))
}

// restoreSoon is Restore for a caller whose journal has it made again until it is
// durable: a crash may undo the last rename. What j says was gone back to is kept.
func (e *Executable) restoreSoon(ctx context.Context, j journal) error {
	if j.Back {
		return e.exchange(ctx, j)
	}
	s, err := e.swap("restore")
	if err != nil {
		return err
	}
	return s.wrap(s.restore(ctx, false))
}

// Sweep removes what an interrupted call left and nothing refers to any more.
// What is prepared stays, and so does a Commit that can be gone on with. Call it
// when no other call is under way, in this process or another.
func (e *Executable) Sweep(ctx context.Context) error {
	s, err := e.swap("sweep beside")
	if err != nil {
		return err
	}
	return s.wrap(s.sweep(ctx))
}

func (e *Executable) platform() archive.Platform {
	if e.Platform == (archive.Platform{}) {
		return archive.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	}
	return e.Platform
}

// A swap is one call on an Executable, with every default filled in.
type swap struct {
	fs         durable.FS
	copier     capabilities.Copier
	program    Program
	companions []Program
	op         string
	notes      []string
}

func (e *Executable) swap(op string) (*swap, error) {
	s := &swap{fs: e.fs, copier: e.Copier, program: e.Program, op: op}
	if s.fs == nil {
		s.fs = durable.OS{}
	}
	if s.copier == nil {
		s.copier = capabilities.File{}
	}
	if !filepath.IsAbs(e.Program.Path) {
		return nil, s.wrap(fmt.Errorf("its path is not absolute; use FindProgram: %w", fs.ErrInvalid))
	}
	if runtime.GOOS == "windows" {
		return nil, s.wrap(fmt.Errorf("a running program cannot be replaced by one rename here: %w", errors.ErrUnsupported))
	}
	for i, name := range e.Companions {
		switch {
		case !plainName(name):
			return nil, s.wrap(fmt.Errorf("companion %q is not the plain name of a file: %w", name, fs.ErrInvalid))
		case name == e.Program.Base() || slices.Contains(e.Companions[:i], name):
			return nil, s.wrap(fmt.Errorf("companion %q is named twice: %w", name, fs.ErrInvalid))
		}
		s.companions = append(s.companions, s.beside(name))
	}
	return s, nil
}

// beside returns the file called name in the directory of the program.
func (s *swap) beside(name string) Program {
	return Program{Path: filepath.Join(s.program.Dir(), name)}
}

func (s *swap) wrap(err error) error {
	if err != nil {
		return fmt.Errorf("upgrade: %s %s: %w", s.op, s.program.Path, err)
	}
	return nil
}

func (s *swap) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// keptPath is where the program that Commit will displace waits to become the
// previous one: until then Discard must find the older one untouched.
func (p Program) keptPath() string { return p.beside("previous.next") }
func (p Program) listPath() string { return p.beside("upgrade.list") }

// retiredPath has a list that is being written, or whose files are being
// removed: one that permits nothing.
func (p Program) retiredPath() string { return p.beside("upgrade.list.new") }
