package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// fileID changes with the file, and with its content.
func fileID(info fs.FileInfo) string {
	s := info.Sys().(*syscall.Stat_t)
	return fmt.Sprint(s.Dev, s.Ino, s.Size, s.Mtim)
}

// digest reads a file once for each content that it has.
func (e *eye) digest(path string) (string, fs.FileInfo, error) {
	r, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return "", nil, err
	}
	e.mu.Lock()
	d, known := e.known[fileID(info)]
	e.mu.Unlock()
	if known {
		return d, info, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", nil, err
	}
	d = "sha256:" + hex.EncodeToString(h.Sum(nil))
	e.mu.Lock()
	e.known[fileID(info)] = d
	e.mu.Unlock()
	return d, info, nil
}

// flocks are the inodes that somebody holds a lock on, by flock(2).
func flocks() (map[uint64]bool, error) {
	f, err := os.Open("/proc/locks")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf, all := make([]byte, 256<<10), map[uint64]bool{}
	n := 0
	for {
		more, err := f.Read(buf[n:])
		if n += more; err != nil || more == 0 {
			break
		}
	}
	for line := range strings.Lines(string(buf[:n])) {
		w := strings.Fields(line) // number: FLOCK ADVISORY WRITE pid major:minor:inode from to
		if len(w) < 8 || w[1] != "FLOCK" {
			continue
		}
		var major, minor, inode uint64
		if _, err := fmt.Sscanf(w[5], "%x:%x:%d", &major, &minor, &inode); err == nil {
			all[inode] = true
		}
	}
	return all, nil
}

// opens reports whether a process has a file open whose path ends so.
func opens(pid int, path string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, _ := os.ReadDir(dir)
	for _, fd := range fds {
		if link, err := os.Readlink(dir + "/" + fd.Name()); err == nil && strings.HasSuffix(link, path) {
			return true
		}
	}
	return false
}
