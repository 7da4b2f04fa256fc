package tracking

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// ErrConflict is returned by Swap, possibly wrapped, if the value is not the
// one it was to replace.
var ErrConflict = errors.New("the value has changed")

// A Revision identifies one of the values that a Store has held. Only the Store
// that issued it can interpret it. "" is the revision of a key that never had a
// value.
type Revision string

// A Store is a handful of small values under keys that all members share, and
// replace by compare-and-swap. A key is one to MaxKey bytes of
// [A-Za-z0-9._/-], compared byte by byte; a value is at most MaxValue bytes of
// any kind. A call with another key or a larger value changes nothing, and its
// error wraps fs.ErrInvalid; Check tells.
//
// Calls must be linearizable across all members of the cluster, and across
// their restarts. Implementations must be safe for concurrent use and must
// return promptly once ctx is done; the error then wraps its cause. A call
// whose ctx was done before it began has no effect. Package trackingtest tests
// for everything said here.
type Store interface {
	// Load returns the value of key and its revision: nil and "" if it never
	// had one. The caller owns the slice.
	Load(ctx context.Context, key string) (value []byte, rev Revision, err error)

	// Swap replaces the value of key, if its revision is old, and returns the
	// new revision. If the revision is not old it changes nothing and the error
	// wraps ErrConflict. After any other error the swap may or may not have
	// happened. When Swap returns nil the value is durable. An empty value
	// empties the key: it loads as an empty value from then on, with a
	// revision, and no revision is ever issued twice for a key. There is no
	// other way to delete. The Store does not keep value.
	Swap(ctx context.Context, key string, old Revision, value []byte) (Revision, error)

	// Wait returns once something has changed after since, a place that an
	// earlier Wait returned; with "" it returns at once. It names the keys that
	// may have changed, nil for "any", and the place to wait from next, which
	// is never "". No change between two such calls is missed. It may return
	// without a change, but not over and over. When ctx is done the error wraps
	// its cause; a since that the Store no longer knows counts as changed.
	Wait(ctx context.Context, since Revision) (keys []string, now Revision, err error)
}

// Limits that every Store keeps to.
const (
	MaxKey   = 200       // bytes of a key
	MaxValue = 512 << 10 // bytes of a value; every Store takes as much
)

// Check returns nil if key and value are what a Store takes, and otherwise an
// error that wraps fs.ErrInvalid. Implementations call it first thing, Load
// with a nil value.
func Check(key string, value []byte) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("tracking: key of %d bytes, want 1 to %d: %w", len(key), MaxKey, fs.ErrInvalid)
	}
	for _, c := range []byte(key) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '/', c == '-':
		default:
			return fmt.Errorf("tracking: key %q: byte %q is not of [A-Za-z0-9._/-]: %w", key, c, fs.ErrInvalid)
		}
	}
	if len(value) > MaxValue {
		return fmt.Errorf("tracking: value of %s: %d bytes, more than %d: %w", key, len(value), MaxValue, fs.ErrInvalid)
	}
	return nil
}
