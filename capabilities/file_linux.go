package capabilities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Copy implements Copier.
func (f File) Copy(ctx context.Context, dst, src string) error {
	if err := f.copy(ctx, dst, src); err != nil {
		return fmt.Errorf("capabilities: copy to %s: %w", dst, err)
	}
	return nil
}

func (f File) copy(ctx context.Context, dst, src string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	want, err := read(src)
	if err != nil {
		return err
	}
	// Links can have attributes too, and giving them one would look like success.
	if info, err := os.Lstat(dst); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("it is not a regular file but %v: %w", info.Mode().Type(), fs.ErrInvalid)
	}
	have, err := read(dst)
	if err != nil {
		return err
	}
	if have.same(want) {
		return nil
	}
	_, err = retry(func() (int, error) {
		if want.raw == nil {
			return 0, unix.Lremovexattr(dst, attribute)
		}
		return 0, unix.Lsetxattr(dst, attribute, want.raw, 0)
	})
	switch {
	case errors.Is(err, unix.EPERM) && want.raw != nil:
		err = f.run(ctx, dst, src, want)
	case errors.Is(err, unix.EOPNOTSUPP):
		err = fmt.Errorf("the file system cannot hold the capabilities of %s: %w", src, errors.ErrUnsupported)
	case err != nil:
		err = &fs.PathError{Op: "write capabilities", Path: dst, Err: err}
	}
	if err != nil {
		return err
	}
	if have, err = read(dst); err != nil {
		return err
	}
	if !have.same(want) {
		return fmt.Errorf("read back after writing: %w", ErrDiffer)
	}
	return nil
}

// Check implements Copier.
func (f File) Check(ctx context.Context, dst, src string) error {
	if err := f.check(ctx, dst, src); err != nil {
		return fmt.Errorf("capabilities: check %s: %w", dst, err)
	}
	return nil
}

func (f File) check(ctx context.Context, dst, src string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	want, err := read(src)
	if err != nil || want.raw == nil {
		return err
	}
	t, err := os.OpenFile(dst, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if info, lerr := os.Lstat(dst); lerr == nil && info.Mode().IsRegular() {
			if have, rerr := read(dst); rerr == nil && have.same(want) {
				return nil
			}
		}
		return fmt.Errorf("the name is taken; discard what is prepared, then check again: %w", err)
	}
	if err != nil {
		return err
	}
	defer t.Close()
	err = f.copy(ctx, dst, src)
	if rerr := removeOwn(t, dst); err == nil {
		err = rerr
	}
	return err
}

// removeOwn removes path if it still names t.
func removeOwn(t *os.File, path string) error {
	own, err := t.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(own, now) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// Text returns the capabilities of path in the form that setcap reads, such as
// cap_net_bind_service=ep; "" if it has none.
func Text(path string) (string, error) {
	s, err := read(path)
	if err != nil {
		return "", fmt.Errorf("capabilities: %w", err)
	}
	t, err := text(path, s)
	if err != nil {
		return "", fmt.Errorf("capabilities: %w", err)
	}
	return t, nil
}

// Equal reports whether two files have the same capabilities.
func Equal(a, b string) (bool, error) {
	sa, err := read(a)
	if err != nil {
		return false, fmt.Errorf("capabilities: %w", err)
	}
	sb, err := read(b)
	if err != nil {
		return false, fmt.Errorf("capabilities: %w", err)
	}
	return sa.same(sb), nil
}
