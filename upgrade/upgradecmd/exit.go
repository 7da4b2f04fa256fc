package upgradecmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/upgrade"
)

// Exit codes. They mean the same for every verb.
const (
	CodeOK         = 0 // did what was asked; for an upgrade: finished
	CodeError      = 1 // anything not below
	CodeUsage      = 2 // wrong flags or words, or a question and no terminal; nothing changed
	CodeRefused    = 3 // a check, a gate, a plan id or a conflict said no; nothing changed
	CodeFailed     = 4 // the run failed; every member runs a whole program, old or new
	CodeNeedsHands = 5 // the run failed, and a member is down or unclear: act now
	CodeDenied     = 6 // not authenticated, not allowed, or not signed by a trusted key
	CodeUnknown    = 7 // nobody could be reached; a run may go on
	CodeTimeout    = 8 // --timeout ended; a run goes on
	CodeCancelled  = 9 // somebody cancelled the run that was watched

	// Only from status --exit-code.
	CodeStaged  = 20 // staging or staged
	CodeWorking = 21
	CodeWaiting = 22 // working, and a gate holds it
	CodePaused  = 23 // working, and somebody holds it

	CodeInterrupt = 130 // Ctrl-C: stopped watching; a run goes on
	CodeTerminate = 143 // SIGTERM, likewise
)

var exitNames = map[int]string{
	CodeOK: "ok", CodeError: "error", CodeUsage: "usage", CodeRefused: "refused", CodeFailed: "failed",
	CodeNeedsHands: "needs-hands", CodeDenied: "denied", CodeUnknown: "unknown", CodeTimeout: "timeout",
	CodeCancelled: "cancelled", CodeStaged: "staged", CodeWorking: "working", CodeWaiting: "waiting",
	CodePaused: "paused", CodeInterrupt: "signal", CodeTerminate: "signal",
}

// ExitName returns the name of an exit code, as -o json prints it.
func ExitName(code int) string {
	if name, ok := exitNames[code]; ok {
		return name
	}
	return "error"
}

// An ExitError is what the commands return for everything but success. By then
// the operator has been told: whoever receives it has nothing left to print.
type ExitError struct {
	Code int
	Err  error // may be nil where the code says it all
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("upgradecmd: %s (exit code %d)", ExitName(e.Code), e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode returns the exit code for what a command returned: that of the
// ExitError in it, 0 for nil, and 1 for any other error.
func ExitCode(err error) int {
	if err == nil {
		return CodeOK
	}
	var e *ExitError
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeError
}

// Execute runs cmd, the root of a program, and returns the exit code. The error
// has been printed by then, by these commands or by cobra.
func Execute(ctx context.Context, cmd *cobra.Command) int {
	return ExitCode(cmd.ExecuteContext(ctx))
}

// usageError is a wrong word or flag.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// Causes with which the context of a command ends.
type signalCause struct{ sig os.Signal }

func (c *signalCause) Error() string { return "stopped by " + c.sig.String() }

type timeoutCause struct{ text string }

func (c *timeoutCause) Error() string { return c.text }

// unknownError says that nobody could be reached for as long as it made sense.
type unknownError struct {
	lines []string
	err   error
}

func (e *unknownError) Error() string { return e.lines[0] }
func (e *unknownError) Unwrap() error { return e.err }

// codeOf returns the exit code for an error, given the context it happened under.
func codeOf(ctx context.Context, err error) int {
	if ctx.Err() != nil {
		var sig *signalCause
		var late *timeoutCause
		switch cause := context.Cause(ctx); {
		case errors.As(cause, &sig) && sig.sig == syscall.SIGTERM:
			return CodeTerminate
		case errors.As(cause, &late), errors.Is(cause, context.DeadlineExceeded):
			return CodeTimeout
		default:
			return CodeInterrupt
		}
	}
	var (
		exit    *ExitError
		usage   *usageError
		unknown *unknownError
		refusal *upgrade.Refusal
		bad     *archive.Error
	)
	switch {
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &usage):
		return CodeUsage
	case errors.As(err, &unknown):
		return CodeUnknown
	case errors.As(err, &refusal):
		return codeOfKind(refusal.Kind)
	case errors.As(err, &bad):
		return codeOfReason(bad.Reason)
	case isConnection(err):
		return CodeUnknown
	}
	return CodeError
}

func codeOfKind(k upgrade.Kind) int {
	switch k {
	case upgrade.Untrusted, upgrade.Forbidden:
		return CodeDenied
	case upgrade.Unavailable:
		return CodeUnknown
	}
	return CodeRefused
}

// codeOfReason is for what an archive was refused for on this machine.
func codeOfReason(reason string) int {
	switch reason {
	case archive.NoKeys, archive.Unsigned, archive.UnknownKey, archive.BadSignature, archive.ThresholdUnmet:
		return CodeDenied
	case archive.BadPolicy:
		return CodeUsage
	}
	return CodeRefused
}

// codeOfChecks is for checks that say no.
func codeOfChecks(checks []upgrade.Check) int {
	for _, c := range checks {
		if c.ID == "archive-signature" && c.Result == upgrade.Fail && c.Severity == upgrade.Blocker {
			return CodeDenied
		}
	}
	return CodeRefused
}

// isConnection reports whether err says that no answer came, as opposed to one
// that says no. A server that is restarting, or a proxy before it, gives these.
func isConnection(err error) bool {
	var refusal *upgrade.Refusal
	if errors.As(err, &refusal) {
		return refusal.Kind == upgrade.Unavailable
	}
	var (
		op   *net.OpError
		call *url.Error // of a host's own login
	)
	return errors.As(err, &op) || errors.As(err, &call)
}
