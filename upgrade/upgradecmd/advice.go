package upgradecmd

import (
	"errors"

	"github.com/leaderlast/leaderlast/upgrade"
)

// advised is a refusal with the command that leads on from it, which a server
// cannot know how to type.
type advised struct {
	*upgrade.Refusal
	next    string
	instead bool // of the remedy, which says the same without the command
}

func (e *advised) Unwrap() error { return e.Refusal }

// advise adds to a refusal to go back, to give that up, or to try again, what to type next.
// Other errors stay as they are.
func (s *session) advise(err error) error {
	var no *upgrade.Refusal
	if !errors.As(err, &no) || codeOfKind(no.Kind) != CodeRefused {
		return err
	}
	next, instead := "", true
	switch no.Reason {
	case "PreviousChanged":
		instead = false // it says where to look
		fallthrough
	case "NoPrevious", "Committed":
		// The archive of that time is older than what members take.
		next = "install a newer release of the older state:  " + s.tree.hint(s.cmd, "FILE")
	case "DataNotReadable":
		next = "stay, or install a newer release that reads these data:  " + s.tree.hint(s.cmd, "FILE")
	case "RunInProgress":
		next = "watch it:  " + s.tree.hint(s.cmd, "status", "--watch")
	case "AlreadyStaged":
		next = "remove what is staged:  " + s.tree.hint(s.cmd, "unstage")
	case "NotFinished":
		instead = false // it says what is missing
		fallthrough
	case "PreviousIsRunning", "NothingToCommit", "NotFailed":
		next = "see how it stands:  " + s.tree.hint(s.cmd, "status")
	default:
		return err
	}
	return &advised{no, next, instead}
}
