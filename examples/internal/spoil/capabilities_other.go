//go:build !linux

package spoil

import (
	"errors"
	"fmt"
)

func dropCapabilities() error {
	return fmt.Errorf("give capabilities up: %w", errors.ErrUnsupported)
}
