package restart

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"
)

// FromManager is a network for Listen, ListenPacket and File: the address is then
// the name that the service manager gave the socket (FileDescriptorName= of
// systemd). Of several with one name each call takes the next.
const FromManager = "fd"

// Kinds of what is passed on.
const (
	kindListener = "listener"
	kindPacket   = "packet"
	kindFile     = "file"
)

// key is what the host asks by. Several sockets may have the same (port 0, say);
// they are given out in the order in which they were opened.
type key struct {
	Kind    string `json:"kind"`
	Network string `json:"network,omitempty"`
	Addr    string `json:"addr"`
}

func (k key) String() string {
	if k.Network == "" {
		return k.Addr
	}
	return k.Network + " " + k.Addr
}

// held is a socket or file that the host has.
type held struct {
	key
	conn    syscall.Conn
	gate    *gate // nil unless it is a listener
	manager bool  // passed on by its original number, as the manager's
}

// Listen returns the listener for this network and address: the one inherited
// from the program before or from the service manager if there is one, else a
// fresh one. Closing it takes it out of what is passed on; it is never closed by
// a restart, and the file of a unix socket stays.
//
// Without a manager's name an address selects the manager's socket that is bound
// to it. With network FromManager, and no socket of that name, the error wraps
// fs.ErrNotExist.
func (s *Sockets) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	k := key{kindListener, network, addr}
	l, manager, err := take(s, ctx, k, net.FileListener)
	if err != nil {
		return nil, fmt.Errorf("restart: listen: %v: %w", k, err)
	}
	inherited := l != nil
	if l == nil {
		if l, err = s.c.ListenConfig.Listen(ctx, network, addr); err != nil {
			return nil, fmt.Errorf("restart: listen: %w", err)
		}
	}
	a, ok := l.(interface {
		acceptor
		syscall.Conn
	})
	if !ok {
		l.Close()
		return nil, fmt.Errorf("restart: listen: %v: a %T cannot pause: %w", k, l, errors.ErrUnsupported)
	}
	g := newGate(s, a)
	if inherited {
		g.tune = s.tuneConn
	}
	s.keep(&held{key: k, conn: a, gate: g, manager: manager})
	return g, nil
}

// ListenPacket is Listen for packet connections. Datagrams that arrive during a
// restart wait in the socket's buffer; those the host has read are its own care.
func (s *Sockets) ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error) {
	k := key{kindPacket, network, addr}
	p, manager, err := take(s, ctx, k, net.FilePacketConn)
	if err != nil {
		return nil, fmt.Errorf("restart: listen: %v: %w", k, err)
	}
	if p == nil {
		if p, err = s.c.ListenConfig.ListenPacket(ctx, network, addr); err != nil {
			return nil, fmt.Errorf("restart: listen: %w", err)
		}
	}
	c, ok := p.(syscall.Conn)
	if !ok {
		p.Close()
		return nil, fmt.Errorf("restart: listen: %v: a %T has no descriptor: %w", k, p, errors.ErrUnsupported)
	}
	s.keep(&held{key: k, conn: c, manager: manager})
	return p, nil
}

// File returns the open file of this name from the program before or, if that
// passed none on, what open returns. It is for descriptors that package net does
// not know: raw sockets, devices, locks. The caller closes it.
func (s *Sockets) File(name string, open func() (*os.File, error)) (*os.File, error) {
	k := key{Kind: kindFile, Addr: name}
	f, manager, err := take(s, context.Background(), k, func(f *os.File) (*os.File, error) { return dupFile(f, name) })
	if err == nil && f == nil {
		f, err = open()
	}
	if err != nil {
		return nil, fmt.Errorf("restart: file %s: %w", name, err)
	}
	s.keep(&held{key: k, conn: f, manager: manager})
	return f, nil
}

// Activated names the sockets of the service manager, in its order, as
// "name network address". A host that does not know what to ask for looks here.
func (s *Sockets) Activated() []Activation {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Activation, 0, len(s.activated))
	for _, h := range s.activated {
		list = append(list, Activation{Name: h.name, Network: h.network, Addr: h.addr, Taken: h.taken})
	}
	return list
}

// An Activation is a socket that the service manager opened.
type Activation struct {
	Name    string // as the manager calls it
	Network string // tcp, udp, unix, unixgram, unixpacket; "" if package net does not know it
	Addr    string // that it is bound to
	Taken   bool   // Listen, ListenPacket or File has returned it
}

func (s *Sockets) keep(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Forget what the host has closed meanwhile.
	s.held = slices.DeleteFunc(s.held, func(h *held) bool { return descriptor(h.conn) < 0 })
	s.held = append(s.held, h)
	h.unlink(s.elder == nil)
	if h.gate != nil {
		// Two accept from one queue otherwise, and what this one has accepted is
		// lost if it comes to nothing.
		h.gate.shut = s.elder != nil && !s.ready
	}
}

// unlink says whether closing a unix listener removes its file: never where
// another program listens on it as well.
func (h *held) unlink(on bool) {
	if u, ok := h.conn.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(on && !h.manager)
	}
}

func (s *Sockets) gatesLocked() (gates []*gate) {
	for _, h := range s.held {
		if h.gate != nil {
			gates = append(gates, h.gate)
		}
	}
	return gates
}

func (s *Sockets) gates() []*gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gatesLocked()
}

// keepFiles says whether the files of unix sockets stay when their listeners are
// closed.
func (s *Sockets) keepFiles(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		h.unlink(!on)
	}
}

// take makes of the inherited socket for k what the host wants. It returns the
// zero T if there is none.
func take[T any](s *Sockets, ctx context.Context, k key, make func(*os.File) (T, error)) (v T, manager bool, err error) {
	h, err := s.claim(ctx, k)
	if h == nil || err != nil {
		return v, false, err
	}
	f, err := h.open()
	if err != nil {
		return v, false, err
	}
	defer f.Close()
	if v, err = make(f); err != nil && !h.manager {
		var none T
		return none, false, nil // not what it is said to be: a fresh one does it
	}
	return v, h.manager, err
}

// claim returns the heirloom for k, nil if there is none.
func (s *Sockets) claim(ctx context.Context, k key) (*heirloom, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.heirlooms {
		if h.key == k {
			s.heirlooms = slices.Delete(s.heirlooms, i, i+1)
			return h, nil
		}
	}
	for _, h := range s.activated {
		if !h.taken && h.answers(ctx, k) {
			h.taken = true
			return h, nil
		}
	}
	if k.Network == FromManager {
		return nil, fmt.Errorf("the service manager passed no such socket: %w", fs.ErrNotExist)
	}
	return nil, nil
}

// tuneConn does to an accepted connection what a listener of ListenConfig does;
// an inherited one has forgotten.
func (s *Sockets) tuneConn(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	switch lc := s.c.ListenConfig; {
	case lc.KeepAliveConfig.Enable:
		t.SetKeepAliveConfig(lc.KeepAliveConfig)
	case lc.KeepAlive < 0:
		t.SetKeepAlive(false)
	case lc.KeepAlive > 0:
		t.SetKeepAlivePeriod(lc.KeepAlive)
	}
}

// descriptor returns the number of c's descriptor, -1 if it is closed. The
// number is good while c is open. (*os.File).Fd is never asked: it makes the
// descriptor block, for this process and for whoever shares it.
func descriptor(c syscall.Conn) int {
	n := -1
	if rc, err := c.SyscallConn(); err == nil {
		rc.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}
