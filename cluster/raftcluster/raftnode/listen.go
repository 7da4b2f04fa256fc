package raftnode

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Listen returns a TCP listener whose socket lives on when the program is
// replaced. Config.Listener takes one of (*restart.Sockets).Listen too, but that
// stops accepting while clients are drained: other members that connect anew
// just then wait, and a drain waits for them. This one is open until Close. Pass
// the File method of the process's restart.Sockets, and a name that the next
// program will know the socket by.
func Listen(ctx context.Context, file func(name string, open func() (*os.File, error)) (*os.File, error), name, addr string) (net.Listener, error) {
	f, err := file(name, func() (*os.File, error) {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return l.(*net.TCPListener).File()
	})
	if err != nil {
		return nil, fmt.Errorf("raftnode: listen on %s: %w", addr, err)
	}
	// The listener has a descriptor of its own; that of f is what is passed on.
	l, err := net.FileListener(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("raftnode: listen on %s: %w", addr, err)
	}
	return l, nil
}
