package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// MakeSpare makes a file that WriteSpare can use: one that has room for size bytes
// on its disk, whatever else fills that.
func MakeSpare(spare string, size int, perm fs.FileMode) error {
	return WriteFile(spare, bytes.Repeat([]byte{' '}, size), perm) // in blocks, not in a hole
}

// WriteSpare is WriteFile where there is no room for a new file: data is written
// into the file spare, which takes the place of the one at path. Data is filled up
// with spaces to the size of spare, which must not be less. What was at path is
// the spare then, so that it can be done again if that has the same size; where the
// system cannot exchange two files there is none any more.
//
// If there is no spare the error wraps fs.ErrNotExist. After an error path still
// holds the old content, unless the error wraps ErrUnsynced.
func WriteSpare(path, spare string, data []byte) error {
	if err := fillSpare(path, spare, data); err != nil {
		return fmt.Errorf("durable: write %s into what is spare: %w", path, err)
	}
	if err := exchange(spare, path); err != nil {
		return fmt.Errorf("durable: write %s into what is spare: %w", path, err)
	}
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("durable: write %s into what is spare: %w: %w", path, ErrUnsynced, err)
	}
	return nil
}

func fillSpare(path, spare string, data []byte) (err error) {
	info, err := os.Lstat(spare)
	if err != nil {
		return err
	}
	if old, err := os.Lstat(path); err == nil && os.SameFile(info, old) {
		return fmt.Errorf("%s is the same file: %w", spare, fs.ErrInvalid)
	}
	room := info.Size() - int64(len(data))
	if !info.Mode().IsRegular() || room < 0 {
		return fmt.Errorf("%s has no room for %d bytes: %w", spare, len(data), fs.ErrInvalid)
	}
	f, err := os.OpenFile(spare, os.O_WRONLY|noFollow, 0)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		return errors.Join(fs.ErrInvalid, err)
	}
	if _, err := io.Copy(f, io.MultiReader(bytes.NewReader(data), bytes.NewReader(bytes.Repeat([]byte{' '}, int(room))))); err != nil {
		return err
	}
	return f.Sync()
}

// NoRoom reports whether err says that a disk, or somebody's share of it, is full.
func NoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
