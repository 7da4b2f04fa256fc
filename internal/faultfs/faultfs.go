// Package faultfs makes file systems fail on purpose: at the nth operation, from
// then on, or by losing power. It is for tests of what is built on package
// durable.
package faultfs

import (
	"fmt"
	"io/fs"
	"sync"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// An Op is one operation, counted from 1.
type Op struct {
	N    int
	Name string // of the method: create, write, sync, rename, …
	Path string
	To   string // second name of a rename or link
}

func (o Op) String() string {
	s := fmt.Sprintf("%d: %s %s", o.N, o.Name, o.Path)
	if o.To != "" {
		s += " to " + o.To
	}
	return s
}

// An FS passes operations on to another, unless Before objects. It is safe for
// concurrent use as far as the other is.
type FS struct {
	Under durable.FS

	// Before is called before each operation, if it is not nil. An error takes
	// the place of the operation's result, and nothing is done; Close closes
	// all the same.
	Before func(Op) error

	// Short makes a write that Before fails do its first half.
	Short bool

	// Log, if not nil, records what is done, and numbers the files: see
	// Log.Crashes and State.Mount.
	Log *Log

	mu sync.Mutex
	n  int
}

var _ durable.FS = (*FS)(nil)

// FailAt returns a Before that fails operation n with err, and all later ones
// too if forever: to those who look at the disk that is a killed process.
func FailAt(n int, err error, forever bool) func(Op) error {
	return func(o Op) error {
		if o.N == n || forever && o.N > n {
			return err
		}
		return nil
	}
}

// Count returns how many operations there have been.
func (f *FS) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *FS) before(name, path, to string) error {
	f.mu.Lock()
	f.n++
	n := f.n
	f.mu.Unlock()
	if f.Before == nil {
		return nil
	}
	if err := f.Before(Op{N: n, Name: name, Path: path, To: to}); err != nil {
		return &fs.PathError{Op: name, Path: path, Err: err}
	}
	return nil
}

// done records an event, if it happened.
func (f *FS) done(err error, e event) error {
	if err == nil && f.Log != nil {
		f.Log.add(e)
	}
	return err
}

func (f *FS) Create(path string) (durable.File, error) {
	if err := f.before("create", path, ""); err != nil {
		return nil, err
	}
	u, err := f.Under.Create(path)
	if err != nil {
		return nil, err
	}
	h := &file{fs: f, under: u, path: path}
	if f.Log != nil {
		h.inode = f.Log.create(path)
	}
	return h, nil
}

func (f *FS) Open(path string) (durable.File, error) {
	if err := f.before("open", path, ""); err != nil {
		return nil, err
	}
	u, err := f.Under.Open(path)
	if err != nil {
		return nil, err
	}
	h := &file{fs: f, under: u, path: path}
	if f.Log != nil {
		h.inode = f.Log.lookup(path)
	}
	return h, nil
}

func (f *FS) Lstat(path string) (durable.Info, error) {
	if err := f.before("lstat", path, ""); err != nil {
		return durable.Info{}, err
	}
	info, err := f.Under.Lstat(path)
	if err == nil && f.Log != nil {
		info = f.Log.info(f.Log.lookup(path), info)
	}
	return info, err
}

func (f *FS) Rename(from, to string) error {
	if err := f.before("rename", from, to); err != nil {
		return err
	}
	return f.done(f.Under.Rename(from, to), event{kind: renamed, path: from, to: to})
}

func (f *FS) Link(from, to string) error {
	if err := f.before("link", from, to); err != nil {
		return err
	}
	return f.done(f.Under.Link(from, to), event{kind: linked, path: from, to: to})
}

func (f *FS) Remove(path string) error {
	if err := f.before("remove", path, ""); err != nil {
		return err
	}
	return f.done(f.Under.Remove(path), event{kind: removed, path: path})
}

func (f *FS) SyncDir(path string) error {
	if err := f.before("syncdir", path, ""); err != nil {
		return err
	}
	return f.done(f.Under.SyncDir(path), event{kind: dirSynced})
}

type file struct {
	fs    *FS
	under durable.File
	path  string
	inode int
}

func (h *file) Read(p []byte) (int, error) {
	if err := h.fs.before("read", h.path, ""); err != nil {
		return 0, err
	}
	return h.under.Read(p)
}

func (h *file) Write(p []byte) (n int, err error) {
	if err = h.fs.before("write", h.path, ""); err == nil {
		n, err = h.under.Write(p)
	} else if h.fs.Short {
		n, _ = h.under.Write(p[:len(p)/2])
	}
	h.fs.done(nil, event{kind: written, inode: h.inode, data: append([]byte(nil), p[:n]...)})
	return n, err
}

func (h *file) Close() error {
	ferr := h.fs.before("close", h.path, "")
	if err := h.under.Close(); ferr == nil {
		return err
	}
	return ferr
}

func (h *file) Stat() (durable.Info, error) {
	if err := h.fs.before("stat", h.path, ""); err != nil {
		return durable.Info{}, err
	}
	info, err := h.under.Stat()
	if err == nil && h.fs.Log != nil {
		info = h.fs.Log.info(h.inode, info)
	}
	return info, err
}

func (h *file) Allocate(size int64) error {
	if err := h.fs.before("allocate", h.path, ""); err != nil {
		return err
	}
	return h.under.Allocate(size)
}

func (h *file) Chown(uid, gid int) error {
	if err := h.fs.before("chown", h.path, ""); err != nil {
		return err
	}
	return h.under.Chown(uid, gid)
}

func (h *file) Chmod(mode fs.FileMode) error {
	if err := h.fs.before("chmod", h.path, ""); err != nil {
		return err
	}
	return h.fs.done(h.under.Chmod(mode), event{kind: moded, inode: h.inode, mode: mode})
}

func (h *file) Xattrs() (map[string][]byte, error) {
	if err := h.fs.before("xattrs", h.path, ""); err != nil {
		return nil, err
	}
	return h.under.Xattrs()
}

func (h *file) SetXattr(name string, value []byte) error {
	if err := h.fs.before("setxattr", h.path, ""); err != nil {
		return err
	}
	return h.fs.done(h.under.SetXattr(name, value), event{kind: attributed, inode: h.inode, path: name, data: value})
}

func (h *file) Sync() error {
	if err := h.fs.before("sync", h.path, ""); err != nil {
		return err
	}
	return h.fs.done(h.under.Sync(), event{kind: synced, inode: h.inode})
}
