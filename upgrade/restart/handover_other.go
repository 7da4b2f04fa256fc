//go:build !unix

package restart

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

func (s *Sockets) checkHandOver(context.Context, HandOverConfig, string) error {
	return fmt.Errorf("restart: hand-over: %s cannot pass sockets to a child, let a supervisor restart the server: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (s *Sockets) restartHandOver(ctx context.Context, c HandOverConfig, path string) error {
	return s.checkHandOver(ctx, c, path)
}

func claimLink(*link, int) *elder { return nil }
