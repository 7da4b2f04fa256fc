//go:build !unix

package restart

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

func (s *Sockets) checkExec(context.Context, string) error {
	return fmt.Errorf("restart: exec: %s cannot replace the program of a process, let a supervisor restart the server: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (s *Sockets) restartExec(ctx context.Context, path string) error { return s.checkExec(ctx, path) }
