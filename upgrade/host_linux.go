package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// spaceAt returns the room there is for the server in the directory dir, or in
// the nearest one above it that exists.
func spaceAt(dir string) (hostSpace, error) {
	dir = filepath.Clean(dir)
	for {
		_, err := os.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return hostSpace{}, err
		}
		dir = filepath.Dir(dir)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return hostSpace{}, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return hostSpace{}, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	h := hostSpace{
		Free: int64(s.Bavail) * int64(s.Bsize), Total: int64(s.Blocks) * int64(s.Bsize),
		Inodes: int64(s.Ffree), Dev: uint64(st.Dev),
	}
	if s.Files == 0 {
		h.Inodes = -1
	}
	return h, nil
}

// allocated returns the bytes that the file at path takes on disk, 0 if there
// is none.
func allocated(path string) int64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

const aufsMagic = 0x61756673 // not in the kernel's own list: aufs lives outside its tree

// mountOf returns the mount that path lies on.
func mountOf(path string) (hostMount, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return hostMount{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	m := hostMount{ReadOnly: s.Flags&unix.MS_RDONLY != 0, NoExec: s.Flags&unix.MS_NOEXEC != 0}
	switch uint32(s.Type) {
	case unix.OVERLAYFS_SUPER_MAGIC:
		m.Type = "overlay"
	case aufsMagic:
		m.Type = "aufs"
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return m, nil // what matters is known
	}
	var id uint64
	var x unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &x) == nil && x.Mask&unix.STATX_MNT_ID != 0 {
		id = x.Mnt_id
	}
	if l, ok := mountAt(parseMounts(text), id, path); ok {
		m.Point, m.Type = l.point, l.typ
		for _, o := range l.super {
			m.Whole = m.Whole || m.ReadOnly && o == "ro"
		}
	}
	return m, nil
}

// fileOwner returns the owner and group of a file.
func fileOwner(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}

// fileFlags tells whether the attributes of ext4 and its like (chattr) forbid
// to change path.
func fileFlags(path string) (immutable, appendOnly bool) {
	var x unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &x) != nil {
		return false, false
	}
	return x.Attributes&unix.STATX_ATTR_IMMUTABLE != 0, x.Attributes&unix.STATX_ATTR_APPEND != 0
}

// mayReplace returns nil if the kernel would let a rename take the place of the
// regular file at path, and otherwise its word. Asked to remove a directory, the
// kernel looks first at whether the name may be taken away at all, with
// everything that counts there (mode, sticky bit, attributes, capabilities,
// read-only mounts), and only then at whether it is one.
func mayReplace(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &fs.PathError{Op: "replace", Path: path, Err: syscall.EISDIR}
	}
	if err := unix.Rmdir(path); err != unix.ENOTDIR {
		return &fs.PathError{Op: "replace", Path: path, Err: err}
	}
	return nil
}

// linkForbidden reports whether the kernel refuses a hard link to a file that
// belongs to somebody else; see protected_hardlinks in proc_sys_fs(5).
func linkForbidden(path string, owner int) bool {
	if owner == os.Geteuid() || os.Geteuid() == 0 {
		return false
	}
	text, err := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	if err != nil || strings.TrimSpace(string(text)) == "0" {
		return false
	}
	return unix.Access(path, unix.R_OK|unix.W_OK) != nil
}

// noNewPrivs reports whether the process can gain no privileges by exec.
func noNewPrivs() (bool, error) {
	n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return n == 1, err
}

// ignoresCapabilities reports whether those of the file at path take no effect,
// since its file system is mounted nosuid.
func ignoresCapabilities(path string) (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return false, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return s.Flags&unix.MS_NOSUID != 0, nil
}

// runningFile returns where the kernel says that the file of this process lies
// now, and whether that is the file of info.
func runningFile(info fs.FileInfo) (link string, same bool) {
	const exe = "/proc/self/exe"
	now, err := os.Stat(exe)
	if err != nil || info == nil || !os.SameFile(now, info) {
		return "", false
	}
	link, err = os.Readlink(exe)
	return link, err == nil
}

// othersRunning returns the processes, this one excepted, that run the file of
// info as far as this user may see them: those that hold a programLock on it,
// and those that do not.
func othersRunning(info fs.FileInfo) (servers, others []int, err error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		exe, err := os.Stat(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil || !os.SameFile(exe, info) {
			continue
		}
		if holdsLock(pid, st.Ino) {
			servers = append(servers, pid)
		} else {
			others = append(others, pid)
		}
	}
	return servers, others, nil
}

// holdsLock reports whether an open file of the process has a lock as
// programLock takes it; see proc_pid_fdinfo(5).
func holdsLock(pid int, inode uint64) bool {
	infos, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	for _, f := range infos {
		text, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(text), "OFDLCK") && strings.Contains(string(text), fmt.Sprintf(":%d 0 EOF", inode)) {
			return true
		}
	}
	return false
}
