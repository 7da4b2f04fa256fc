package durable

import (
	"io"
	"io/fs"
	"time"
)

// An FS is the part of a file system that replacing a file durably needs. OS is
// the real one; package faultfs wraps another to make it fail or lose power.
//
// Errors are those of package os: they wrap fs.ErrNotExist, fs.ErrExist and the
// errno, and name the operation and the path. No method follows a symbolic link
// in the last element of a path.
type FS interface {
	// Create makes a new file for reading and writing, mode 0600. A name that is
	// taken, by a symbolic link too, is an error that wraps fs.ErrExist.
	Create(path string) (File, error)

	// Open opens a file for reading. What is not a regular file is refused, and
	// not waited for.
	Open(path string) (File, error)

	Lstat(path string) (Info, error)
	Rename(from, to string) error
	Link(from, to string) error
	Remove(path string) error

	// SyncDir makes durable which names the directory holds. Without it a
	// reported rename may be gone after a power cut.
	SyncDir(path string) error
}

// A File is an open file. Its attributes are set through the handle, so that
// nobody can put another file under the name in between.
type File interface {
	io.ReadWriteCloser

	Stat() (Info, error)

	// Allocate reserves size bytes, so that a full disk is told before the first
	// write. Where the file system cannot, it does nothing.
	Allocate(size int64) error

	// Chown drops setuid, setgid and file capabilities. An id of -1 stays.
	Chown(uid, gid int) error
	Chmod(mode fs.FileMode) error

	// Xattrs returns extended attributes by name: all that can be seen, none
	// where the file system or operating system has none. SetXattr with a nil
	// value removes the attribute.
	Xattrs() (map[string][]byte, error)
	SetXattr(name string, value []byte) error

	// Sync makes content and attributes durable. After an error the file must
	// be thrown away: the kernel tells a write-back error once, and a second
	// Sync that succeeds proves nothing.
	Sync() error
}

// Info is what is known of a file.
type Info struct {
	Mode    fs.FileMode
	Size    int64 // bytes
	UID     int   // -1 where the operating system has none
	GID     int
	Inode   uint64    // 0 where the operating system tells none
	Device  uint64    // with Inode names a file while the machine is up
	Changed time.Time // of content or attributes; cannot be set, zero if unknown
	Written time.Time // of content
}

// Same reports whether a and b are names of one file.
func (a Info) Same(b Info) bool {
	return a.Inode != 0 && a.Inode == b.Inode && a.Device == b.Device
}
