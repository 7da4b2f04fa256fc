package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// DefaultPrefix is the path below which existing clients expect the routes.
const DefaultPrefix = "/api/v3"

// Limits of a Config that does not set them.
const (
	DefaultMaxUpload   = 512 << 20 // bytes; that of archive.Policy
	DefaultUploadIdle  = 30 * time.Second
	DefaultUploadTotal = time.Hour
)

// MaxWait bounds how long a request with Prefer: wait is held.
const MaxWait = 60 * time.Second

// A Right is what a caller needs for a request.
type Right string

// Rights. They are separate so that, for example, one team may stage a release
// and only another may start it.
const (
	RightStage  Right = "stage"  // upload an archive
	RightRun    Right = "run"    // start what is staged; retry, rollback, commit, resume, pause
	RightAbort  Right = "abort"  // unstage, cancel, pause
	RightStatus Right = "status" // read anything; check and plan, which change nothing
	RightPeer   Right = "peer"   // what only members ask of each other
)

// ErrUnauthenticated says that it is not known who asks, as opposed to known and
// not allowed. Config.Authorize wraps it for a 401; errors that a Client got as
// a 401 wrap it too.
var ErrUnauthenticated = errors.New("not authenticated")

// An Upgrader does what the routes ask for; *upgrade.Orchestrator is one. Its
// methods are called concurrently. Where they say no, the error is, or wraps, a
// *upgrade.Refusal; any other error is answered with 500 and its text.
//
// The context of a call ends with its request.
type Upgrader interface {
	// Stage reads an archive from body and stages it. An error of body must be
	// wrapped. What a failed call read is gone when it returns.
	Stage(ctx context.Context, body io.Reader, o upgrade.StageOptions) (upgrade.Staged, error)

	// Legacy does Stage and Start in one, for clients that know no other way. In
	// a cluster it is refused before body is read. Clients need the whole reply:
	// what it started must not restart before that is out. An Orchestrator sees to
	// it by the Drain of its Config, or waits GraceTime where there is none.
	Legacy(ctx context.Context, body io.Reader, o upgrade.StageOptions) (upgrade.Staged, error)

	// Start starts what is staged and returns the id of the run, without waiting
	// for it; the restart waits for the reply as after Legacy. Starting a run that is
	// working succeeds: clients repeat a request whose reply was lost.
	Start(ctx context.Context, o upgrade.StartOptions) (run string, err error)

	// Retry goes on after a run that failed, as a run of its own, and returns its
	// id. Retrying while that one works succeeds.
	Retry(ctx context.Context, o upgrade.RetryOptions) (run string, err error)

	// Rollback goes back to the programs that are kept, as a run of its own, and
	// returns its id. Repeating it while that one works succeeds. Commit gives them
	// up and returns once that is on record; repeating it succeeds.
	Rollback(ctx context.Context, o upgrade.RollbackOptions) (run string, err error)
	Commit(ctx context.Context, o upgrade.CommitOptions) error

	// Pause lets no further member begin, Resume lets them again. Both return once
	// that is on record, and repeating either succeeds.
	Pause(ctx context.Context, o upgrade.PauseOptions) error
	Resume(ctx context.Context, o upgrade.PauseOptions) error

	// Unstage removes what is staged, and cancels the run if one is working.
	// Repeating it after a lost reply succeeds. Where nothing was there to remove,
	// then or before, it is a refusal of kind NotFound.
	Unstage(ctx context.Context, o upgrade.UnstageOptions) error

	// Check judges the prerequisites, and Plan says what a run would do. Neither
	// changes anything.
	Check(ctx context.Context, o upgrade.CheckOptions) (upgrade.CheckReport, error)
	Plan(ctx context.Context, o upgrade.CheckOptions) (upgrade.PlanReport, error)

	// Status returns the record as the document for our own clients, Record as it
	// is.
	Status(ctx context.Context) (upgrade.Status, error)
	Record(ctx context.Context) (tracking.Run, error)

	// Wait returns once the record has changed after since, and the place to wait
	// from next; with "" at once, with the place that is now. No change between
	// two such calls is missed.
	Wait(ctx context.Context, since tracking.Revision) (tracking.Revision, error)

	// PeerReport says what this member is, PeerBlob opens an archive that the
	// record names, and returns its size; the reader is closed. Both are what other
	// members ask for. PeerLook has this one look at the record.
	PeerReport(ctx context.Context) (upgrade.PeerReport, error)
	PeerBlob(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error)
	PeerLook(ctx context.Context) error

	// Installed reports whether the program of the staged release is the one that
	// runs.
	Installed(ctx context.Context) (bool, error)
}

// A Logger takes the handler's log lines; hclog.Logger and *slog.Logger are
// ones.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// A Config is what a Handler is made of. Upgrader and Authorize are required.
type Config struct {
	Upgrader Upgrader

	// Authorize decides whether r may use a right. It is called before the body
	// is read, and must not read it. An error refuses the request, and its text is
	// sent to the caller: with 401 if it wraps ErrUnauthenticated, as it says if
	// it wraps a *upgrade.Refusal (a token service that is away is Unavailable),
	// with 403 else.
	Authorize func(r *http.Request, right Right) error

	// Principal names who asks, for the record. The address of the client if nil.
	Principal func(r *http.Request) string

	// Challenge is the WWW-Authenticate header of a 401; "Bearer" if empty.
	Challenge string

	// Prefix is the path that the routes lie below; DefaultPrefix if empty. It is
	// what a request still has when it gets here: "/" behind an http.StripPrefix
	// that took everything off.
	Prefix string

	MaxUpload   int64         // bytes of one upload; DefaultMaxUpload if zero
	UploadIdle  time.Duration // between two pieces of an upload; DefaultUploadIdle if zero
	UploadTotal time.Duration // of one upload; DefaultUploadTotal if zero

	// Origins are those whose browser pages may send more than GET, in the form
	// "https://host:port". The server's own may; other pages are refused, because
	// a browser sends the operator's credentials along (see
	// http.CrossOriginProtection).
	Origins []string

	// Draining returns a channel that is closed when the server is about to stop
	// or restart: requests that only wait for a change are answered at once. May
	// be nil.
	Draining func() <-chan struct{}

	Logger Logger // none if nil
}

// New returns the Handler for c. Without Authorize there is none: whoever can
// reach it could install a program.
func New(c Config) (*Handler, error) {
	switch {
	case c.Upgrader == nil:
		return nil, errors.New("httpapi: new handler: Config.Upgrader is missing")
	case c.Authorize == nil:
		return nil, errors.New("httpapi: new handler: Config.Authorize is missing: without it anybody could install a program")
	case c.MaxUpload < 0, c.UploadIdle < 0, c.UploadTotal < 0:
		return nil, errors.New("httpapi: new handler: a limit is negative")
	}
	prefix := c.Prefix
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if !strings.HasPrefix(prefix, "/") {
		return nil, fmt.Errorf("httpapi: new handler: prefix %q does not begin with a slash", c.Prefix)
	}
	h := &Handler{
		c:         c,
		prefix:    strings.TrimRight(prefix, "/") + "/",
		log:       c.Logger,
		uploading: make(chan struct{}, 1),
	}
	h.c.MaxUpload = cmp.Or(c.MaxUpload, DefaultMaxUpload)
	h.c.UploadIdle = cmp.Or(c.UploadIdle, DefaultUploadIdle)
	h.c.UploadTotal = cmp.Or(c.UploadTotal, DefaultUploadTotal)
	h.c.Challenge = cmp.Or(c.Challenge, "Bearer")
	if h.log == nil {
		h.log = discard{}
	}
	for _, origin := range c.Origins {
		if err := h.origins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("httpapi: new handler: origin %q: %w", origin, err)
		}
	}
	h.routes = h.table()
	return h, nil
}

type discard struct{}

func (discard) Debug(string, ...any) {}
func (discard) Info(string, ...any)  {}
func (discard) Warn(string, ...any)  {}
func (discard) Error(string, ...any) {}
