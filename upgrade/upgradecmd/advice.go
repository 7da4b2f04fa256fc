package upgradecmd

import (
	"errors"

	"github.com/leaderlast/leaderlast/upgrade"
)

// advised is a refusal with the command that leads on from it, which a server
// cannot know how to type.
type advised struct {
	*upgrade.Refusal
	next string
}

func (e *advised) Unwrap() error { return e.Refusal }

// advise adds to a refusal to go back, or to give that up, what to type next.
// Other errors stay as they are.
func (s *session) advise(err error) error {
	var no *upgrade.Refusal
	if !errors.As(err, &no) || codeOfKind(no.Kind) != CodeRefused {
		return err
	}
	next := ""
	switch no.Reason {
	case "NoPrevious", "PreviousChanged", "Committed":
		// The archive of that time is older than what members take.
		next = "install a newer release of the older state:  " + s.tree.hint(s.cmd, "FILE")
	case "DataNotReadable":
		next = "stay, or install a newer release that reads these data:  " + s.tree.hint(s.cmd, "FILE")
	case "RunInProgress":
		next = "watch it:  " + s.tree.hint(s.cmd, "status", "--watch")
	case "AlreadyStaged":
		next = "remove what is staged:  " + s.tree.hint(s.cmd, "unstage")
	case "PreviousIsRunning", "NothingToCommit", "NotFinished":
		next = "see how it stands:  " + s.tree.hint(s.cmd, "status")
	default:
		return err
	}
	return &advised{no, next}
}
