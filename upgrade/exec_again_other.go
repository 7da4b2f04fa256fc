//go:build !unix

package upgrade

import (
	"errors"
	"fmt"
)

func (s *Started) execAgain() error {
	return fmt.Errorf("a process cannot become %s here: %w", s.Program.Path, errors.ErrUnsupported)
}
