package capabilities

import "context"

// A Copier gives one file the capabilities of another.
type Copier interface {
	// Copy gives dst exactly the capabilities of src, reads them back and
	// compares. If neither has any, or the file system or operating system
	// cannot hold them, Copy leaves dst alone and returns nil. Writing to dst
	// afterwards, or changing its owner, would undo the copy; chmod, rename and
	// link keep it. After an error dst may have none, the old ones or those of
	// src, and must not be put in place.
	Copy(ctx context.Context, dst, src string) error

	// Check returns nil if a Copy from src to a new file in directory dir is
	// expected to succeed, and otherwise an error that says what is missing. It
	// changes nothing that outlives the call.
	Check(ctx context.Context, dir, src string) error
}
