//go:build unix

package restart

import (
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// adopt takes an inherited descriptor over, nil if there is none of that number.
func adopt(fd int) *heirloom {
	if fd < firstFD {
		return nil
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return nil
	}
	// Before anything is forked: children must not have it.
	if setCloseOnExec(fd, true) != nil {
		return nil
	}
	return &heirloom{fd: fd}
}

func (h *heirloom) close() { unix.Close(h.fd) }

// open returns a file of the descriptor, to be closed. A manager's descriptor
// keeps its number for the next program; what package net gets is a duplicate.
func (h *heirloom) open() (*os.File, error) {
	fd := h.fd
	if h.manager {
		var err error
		if fd, err = unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, firstFD); err != nil {
			return nil, os.NewSyscallError("dup", err)
		}
	}
	return os.NewFile(uintptr(fd), h.Addr), nil
}

// dupFile returns a duplicate of f that blocks no more and no less than f.
func dupFile(f *os.File, name string) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(descriptor(f)), unix.F_DUPFD_CLOEXEC, firstFD)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// describe finds out what a service manager's descriptor is.
func (h *heirloom) describe() {
	h.Kind = kindFile
	sotype, err := unix.GetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return // not a socket
	}
	if sotype == unix.SOCK_DGRAM {
		h.Kind = kindPacket
	} else if on, err := unix.GetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && on != 0 {
		h.Kind = kindListener
	}
	sa, err := unix.Getsockname(h.fd)
	if err != nil {
		return
	}
	inet := map[int]string{unix.SOCK_STREAM: "tcp", unix.SOCK_DGRAM: "udp"}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		h.network = inet[sotype]
		h.addr = (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
	case *unix.SockaddrInet6:
		h.network = inet[sotype]
		h.addr = (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
	case *unix.SockaddrUnix:
		h.network = map[int]string{unix.SOCK_STREAM: "unix", unix.SOCK_DGRAM: "unixgram", unix.SOCK_SEQPACKET: "unixpacket"}[sotype]
		h.addr = strings.TrimRight(sa.Name, "\x00")
	}
}

func setCloseOnExec(fd int, on bool) error {
	flag := 0
	if on {
		flag = unix.FD_CLOEXEC
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag)
	return err
}

// unread reports whether bytes of a connection lie in the kernel that nobody has
// read.
func unread(c net.Conn) (yes bool) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	rc.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		yes = err == nil && n > 0
	})
	return yes
}

func mayExecute(path string) error { return unix.Access(path, unix.X_OK) }
