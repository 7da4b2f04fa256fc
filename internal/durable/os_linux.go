package durable

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func changeTime(st *syscall.Stat_t) time.Time { return time.Unix(st.Ctim.Unix()) }

// beginWriting is a hint: where it fails, Sync writes all.
func beginWriting(f *os.File, offset, n int64) {
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SyncFileRange(int(fd), offset, n, unix.SYNC_FILE_RANGE_WRITE)
		})
	}
}

// control calls do with the descriptor, again when a signal interrupts it.
func (f *osFile) control(op string, do func(fd int) error) error {
	raw, err := f.f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed = do(int(fd)); failed == unix.EINTR; {
			failed = do(int(fd))
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: f.f.Name(), Err: err}
	}
	return nil
}

func (f *osFile) Allocate(size int64) error {
	if size <= 0 {
		return nil
	}
	err := f.control("fallocate", func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

func (f *osFile) Xattrs() (map[string][]byte, error) {
	var list []byte
	err := f.control("flistxattr", func(fd int) error {
		return grow(&list, func(p []byte) (int, error) { return unix.Flistxattr(fd, p) })
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	attrs := make(map[string][]byte)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		var value []byte
		err := f.control("fgetxattr "+name, func(fd int) error {
			return grow(&value, func(p []byte) (int, error) { return unix.Fgetxattr(fd, name, p) })
		})
		switch {
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
			continue // removed meanwhile, or listed and not ours to read
		case err != nil:
			return nil, err
		}
		attrs[name] = value
	}
	return attrs, nil
}

// grow asks for the size, then for the content, until both fit.
func grow(dst *[]byte, get func([]byte) (int, error)) error {
	for {
		n, err := get(nil)
		if err != nil {
			return err
		}
		p := make([]byte, n)
		if n > 0 {
			if n, err = get(p); err == unix.ERANGE {
				continue
			} else if err != nil {
				return err
			}
		}
		*dst = p[:n]
		return nil
	}
}

func (f *osFile) SetXattr(name string, value []byte) error {
	if value == nil {
		err := f.control("fremovexattr "+name, func(fd int) error { return unix.Fremovexattr(fd, name) })
		if errors.Is(err, unix.ENODATA) {
			return nil
		}
		return err
	}
	return f.control("fsetxattr "+name, func(fd int) error { return unix.Fsetxattr(fd, name, value, 0) })
}
