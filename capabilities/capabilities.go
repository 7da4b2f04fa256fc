package capabilities

import (
	"context"
	"errors"
	"time"
)

// Errors that say why capabilities cannot be given. They come wrapped, together
// with what to do.
var (
	// ErrNoNewPrivileges: the process runs under no-new-privileges, so nothing
	// it starts can have more rights than itself, sudo included.
	ErrNoNewPrivileges = errors.New("no-new-privileges is set")

	// ErrPassword: the configured command wants a password, which a server
	// cannot type.
	ErrPassword = errors.New("a password is required")

	// ErrNamespaced: the capabilities hold in a user namespace only, and a
	// configured command cannot write such.
	ErrNamespaced = errors.New("capabilities belong to a user namespace")

	// ErrDiffer: what was read back is not what was to be given.
	ErrDiffer = errors.New("capabilities differ from those of the source")
)

// A Copier gives one file the capabilities of another.
type Copier interface {
	// Copy gives dst exactly the capabilities of src, reads them back and
	// compares. If neither has any, or the operating system knows none, Copy
	// leaves dst alone and returns nil; so it does if they are equal already.
	// Writing to dst afterwards, or changing its owner, would undo the copy;
	// chmod, rename and link keep it. After an error dst may have none, the old
	// ones or those of src, and must not be put in place.
	Copy(ctx context.Context, dst, src string) error

	// Check returns nil if Copy(ctx, dst, src) is expected to succeed, and
	// otherwise an error that says what is missing. The path dst is the one that
	// a later Copy will be given, because a rule of sudo may permit that one
	// alone; if it does not exist it is created for the check and removed again.
	// A dst that exists is not changed: it passes if it has the capabilities of
	// src, or else the error wraps fs.ErrExist. Nothing that Check changes
	// outlives the call. It must not run while dst is being prepared.
	Check(ctx context.Context, dst, src string) error
}

// DefaultCommand is the Command of a File that names none.
const DefaultCommand = "sudo -n setcap"

// commandLimit bounds one run of the command, whatever the context says.
const commandLimit = 30 * time.Second

// File is the Copier of the files of the operating system. It writes the
// attribute itself where the process may (root, or CAP_SETFCAP), and otherwise
// runs Command. The zero File is ready to use. Where the operating system has no
// file capabilities it does nothing.
type File struct {
	// Command is a command line, split as a shell would and run without one. It
	// is called with two more arguments, the capabilities in the form of
	// cap_from_text(3), such as cap_net_bind_service=ep, and the path. It gets no
	// terminal and no input, and 30 seconds. DefaultCommand if "".
	Command string
}

var _ Copier = File{}

func (f File) command() string {
	if f.Command == "" {
		return DefaultCommand
	}
	return f.Command
}
