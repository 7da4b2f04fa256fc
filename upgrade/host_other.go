//go:build !linux

package upgrade

import (
	"errors"
	"io/fs"
)

// Elsewhere than on Linux these facts are not known; the checks that need them
// say so.

func spaceAt(string) (hostSpace, error)                { return hostSpace{}, errors.ErrUnsupported }
func allocated(string) int64                           { return 0 }
func mountOf(string) (hostMount, error)                { return hostMount{}, errors.ErrUnsupported }
func fileOwner(fs.FileInfo) (uid, gid int, ok bool)    { return 0, 0, false }
func fileFlags(string) (immutable, appendOnly bool)    { return false, false }
func mayReplace(string) error                          { return errors.ErrUnsupported }
func linkForbidden(string, int) bool                   { return false }
func noNewPrivs() (bool, error)                        { return false, errors.ErrUnsupported }
func ignoresCapabilities(string) (bool, error)         { return false, errors.ErrUnsupported }
func runningFile(fs.FileInfo) (link string, same bool) { return "", false }
func othersRunning(fs.FileInfo) (servers, others []int, err error) {
	return nil, nil, errors.ErrUnsupported
}
