//go:build unix

package durable

import (
	"io/fs"
	"os"
	"syscall"
)

const (
	noFollow = syscall.O_NOFOLLOW
	nonBlock = syscall.O_NONBLOCK
)

// InfoOf is what OS tells of a file that i was told of.
func InfoOf(i fs.FileInfo) Info {
	info := Info{Mode: i.Mode(), Size: i.Size(), UID: -1, GID: -1, Written: i.ModTime()}
	if st, ok := i.Sys().(*syscall.Stat_t); ok {
		info.UID, info.GID = int(st.Uid), int(st.Gid)
		info.Inode, info.Device = uint64(st.Ino), uint64(st.Dev)
		info.Changed = changeTime(st)
	}
	return info
}

func syncNames(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
