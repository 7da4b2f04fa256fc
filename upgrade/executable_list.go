package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/internal/durable"
)

// A list says what is prepared. It is durable before the first of its files is
// made, and goes after the last of them has gone, so that no crash leaves a
// file that nobody knows of.
type list struct {
	Format   int        `json:"format"`
	Complete bool       `json:"complete"` // all files are; Commit may go on
	Files    []listFile `json:"files"`    // in the order of Commit: the server last
	Drop     []string   `json:"drop"`     // files whose previous does not go with the server's any more

	// Back says that the files prepared are the previous ones. Their other name
	// goes to what they displace when all of them are in place, and not before:
	// until then somebody may still want to discard them.
	Back bool `json:"back,omitempty"`
}

type listFile struct {
	Name   string         `json:"name"` // beside the program
	Digest archive.Digest `json:"digest"`
	Size   int64          `json:"size"`
	Keep   bool           `json:"keep"` // what it displaces becomes the previous one
	Next   stamp          `json:"next"` // the file prepared
	Old    stamp          `json:"old"`  // the file it displaces

	Mode fs.FileMode `json:"mode,omitempty"` // of the file prepared, if it is not to be that of the one it displaces
}

const (
	listFormat = 1
	listLimit  = 1 << 20 // bytes
)

// A stamp tells whether a file was touched, without reading it.
type stamp struct {
	Inode   uint64    `json:"inode"`
	Size    int64     `json:"size"`
	Written time.Time `json:"written"`
	Changed time.Time `json:"changed,omitzero"` // zero: read the file
}

func stampOf(i durable.Info) stamp {
	return stamp{Inode: i.Inode, Size: i.Size, Written: i.Written.UTC(), Changed: i.Changed.UTC()}
}

// settle is longer than the clock of any file system stands still. A file that
// changed more recently than that could change again and show the same time.
const settle = 20 * time.Millisecond

// settled returns the stamp without its time of change if that is too recent to
// prove anything.
func (s stamp) settled(now time.Time) stamp {
	if d := now.Sub(s.Changed); d < settle {
		s.Changed = time.Time{}
	}
	return s
}

// file reports whether i is the file stamped, with the content it had.
func (s stamp) file(i durable.Info) bool {
	return s.Inode != 0 && s.Inode == i.Inode && s.Size == i.Size && s.Written.Equal(i.Written)
}

// untouched reports whether nothing at all was done to it.
func (s stamp) untouched(i durable.Info) bool {
	return s.file(i) && !s.Changed.IsZero() && s.Changed.Equal(i.Changed)
}

// loadList returns nil if there is no list, or none that can be used: it was
// torn, is no file, or a newer program wrote it. What such a list was about is swept. A list
// that is retired is never Complete.
func (s *swap) loadList() (*list, error) {
	l, err := s.readList(s.program.listPath())
	if l == nil && err == nil {
		if l, err = s.readList(s.program.retiredPath()); l != nil {
			l.Complete = false
		}
	}
	return l, err
}

func (s *swap) readList(path string) (*list, error) {
	f, err := s.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		if info, ierr := s.fs.Lstat(path); ierr == nil && !info.Mode.IsRegular() {
			return nil, nil
		}
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, listLimit))
	if err != nil {
		return nil, err
	}
	var l list
	if json.Unmarshal(data, &l) != nil || l.Format != listFormat || len(l.Files) == 0 {
		return nil, nil
	}
	for _, name := range l.names() {
		if name != s.program.Base() && !plainName(name) {
			return nil, nil
		}
	}
	if l.Files[len(l.Files)-1].Name != s.program.Base() {
		return nil, nil
	}
	return &l, nil
}

// names returns every name in the list: none of them may lead elsewhere.
func (l *list) names() []string {
	names := slices.Clone(l.Drop)
	for _, f := range l.Files {
		names = append(names, f.Name)
	}
	return names
}

// plainName reports whether name is that of a companion: in the same directory,
// and not one of the names that are made from others.
func plainName(name string) bool {
	return name != "" && name == filepath.Base(name) && !strings.HasPrefix(name, ".")
}

func (s *swap) storeList(l *list) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	path := s.program.listPath()
	temp := s.program.retiredPath()
	if err := s.remove(temp); err != nil {
		return err
	}
	f, err := s.fs.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = s.fs.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the list of what is prepared: %w", err), s.remove(temp))
	}
	return s.fs.SyncDir(s.program.Dir())
}

// remove removes a name that may not be there. Something else under it, such as
// a directory or a link, is not ours and stays.
func (s *swap) remove(paths ...string) error {
	var errs []error
	for _, path := range paths {
		info, err := s.fs.Lstat(path)
		if err == nil && !info.Mode.IsRegular() {
			err = notOurs(path, info.Mode)
		}
		if err == nil {
			err = s.fs.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// notOurs is what is said of something that lies where one of our files is to go.
func notOurs(path string, mode fs.FileMode) error {
	return fmt.Errorf("%s is no regular file (%v), and in the way; move it away: %w", path, mode, fs.ErrExist)
}

// lstat returns a zero Info, and false, if there is no such file.
func (s *swap) lstat(path string) (durable.Info, bool, error) {
	info, err := s.fs.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return durable.Info{}, false, nil
	}
	return info, err == nil, err
}
