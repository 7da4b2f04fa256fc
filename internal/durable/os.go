package durable

import (
	"io/fs"
	"os"
	"syscall"
)

// OS is the file system of the operating system.
type OS struct{}

var _ FS = OS{}

func (OS) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{f: f}, nil
}

func (OS) Open(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow|nonBlock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.EINVAL}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &osFile{f: f}, nil
}

func (OS) Lstat(path string) (Info, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Info{}, err
	}
	return InfoOf(info), nil
}

func (OS) Rename(from, to string) error { return os.Rename(from, to) }
func (OS) Link(from, to string) error   { return os.Link(from, to) }
func (OS) Remove(path string) error     { return os.Remove(path) }
func (OS) SyncDir(path string) error    { return syncNames(path) }

type osFile struct {
	f       *os.File // not embedded: its ReadFrom would pass Write by
	written int64    // bytes written through this handle
	started int64    // of these, how many are on their way to the disk
}

func (f *osFile) Read(p []byte) (int, error)   { return f.f.Read(p) }
func (f *osFile) Close() error                 { return f.f.Close() }
func (f *osFile) Sync() error                  { return f.f.Sync() }
func (f *osFile) Chmod(mode fs.FileMode) error { return f.f.Chmod(mode) }
func (f *osFile) Chown(uid, gid int) error     { return f.f.Chown(uid, gid) }

func (f *osFile) Stat() (Info, error) {
	info, err := f.f.Stat()
	if err != nil {
		return Info{}, err
	}
	return InfoOf(info), nil
}

// writeBehind is how many bytes are gathered before the kernel is asked to
// begin writing them, so that a Sync at the end finds little left to do.
const writeBehind = 8 << 20

func (f *osFile) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	f.written += int64(n)
	if f.written-f.started >= writeBehind {
		beginWriting(f.f, f.started, f.written-f.started)
		f.started = f.written
	}
	return n, err
}
