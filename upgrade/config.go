package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/capabilities"
	"github.com/leaderlast/leaderlast/cluster"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade/restart"
)

// A Config is what an Orchestrator works with. Started, Archives, Cluster,
// Tracking and Restart are required, and either Keys or AllowUnsigned.
type Config struct {
	Started  *Started           // from Boot
	Archives archive.Store      // where the local member keeps archives
	Cluster  cluster.Membership // the local member's view
	Tracking tracking.Store     // shared by all members
	Restart  restart.Method     // starts the server over with the program then at its path

	// PeerClient makes the requests that members make of each other: for their
	// self-report, and for archives. Its transport carries the credentials that
	// the Authorize of the others takes for RightPeer. Required in a cluster of
	// more than one. PeerPath is the path of these routes below the Addr of a
	// member; DefaultPeerPath if empty.
	PeerClient *http.Client
	PeerPath   string

	// Replacer installs the new program; an Executable of Started.Program if
	// nil. Capabilities and Companions are given to that one: how the new file
	// gets the capabilities of the old one (capabilities.File if nil), and the
	// base names of programs that are replaced beside the server where they lie
	// there.
	Replacer     Replacer
	Capabilities capabilities.Copier
	Companions   []string

	// Keys may sign archives, Threshold (1 if zero) distinct ones must have.
	// Without a key nothing is accepted unless AllowUnsigned says so; that is
	// logged at each use, shown in the status, and over for good once a signed
	// release was installed.
	Keys          []archive.PublicKey
	Threshold     int
	AllowUnsigned bool

	// Drain makes clients leave: it returns once no request is in flight, and a
	// way to undo that. The restart is asked for after Drain; if it is refused,
	// undo is called. If Drain is nil the restart waits GraceTime, so that
	// replies get out.
	Drain func(ctx context.Context) (undo func(), err error)

	// Stop closes stores and child processes, just before the program is
	// replaced and the process restarts. There is no way back after it, and it
	// is never the way in which the server leaves its cluster. It is given
	// StopTimeout. Where the process serves on while the next one starts
	// (Restart.Overlaps) neither Drain nor Stop is called before the restart: the
	// Method calls hooks of its own.
	//
	// A program that puts the one before back from within calls both, whatever the
	// Method, and goes on without them when their time is up.
	Stop func(ctx context.Context) error

	// Ready reports whether this program serves. It is called after a restart
	// until it has returned nil for MinHealthy without a break.
	Ready func(ctx context.Context) error

	// Readable reports whether the program of that version, which ran before, can
	// read the data of the server as they are now. A rollback asks it on each
	// member before any of them is touched, and is refused with what it says. If it
	// is nil every version can, but one that NoWayBack was said of.
	Readable func(ctx context.Context, version string) error

	// Committed is called once the way back is given up (Orchestrator.Commit): no
	// member runs the program from before, or keeps it, so formats may move on. Each
	// process of a member calls it, again until it has returned nil, as long as the
	// commit is on record; it may be called again after a restart. A member that
	// was away until the next archive was staged is not told of it. It is given
	// ten seconds, and begins what takes longer.
	Committed func(ctx context.Context) error

	// StoreDir is the local directory in which Archives keeps what it keeps, for
	// the check of free space; "" if there is none.
	StoreDir string

	// UploadSlots is how many members may fetch an archive from this one at the
	// same time; 2 if zero.
	UploadSlots int

	MaxArchive  int64 // bytes of an upload; 512 MiB if zero
	MaxUnpacked int64 // bytes of what is in it; 1 GiB if zero

	StageTimeout  time.Duration // until all members hold an archive; 10 min if zero
	MemberTimeout time.Duration // for the turn of one member; 1 h if zero
	MinHealthy    time.Duration // that a member must be well before it is done; 10 s if zero
	RestartLease  time.Duration // for which a granted restart is valid; 30 s if zero, at most MemberTimeout
	DrainTimeout  time.Duration // for one Drain; 30 s if zero
	StopTimeout   time.Duration // for Stop; 30 s if zero
	ProbeTimeout  time.Duration // for the trial start of a new program; 10 s if zero
	GraceTime     time.Duration // before a restart without Drain; 2 s if zero

	// A new program puts the one before back by itself once StartLimit of its
	// starts have ended within StartTime, and not because the server was asked to
	// end (Started.AskedToEnd); or if it was not well for MinHealthy within
	// ConfirmTimeout of a start, by its own word and as long as it can read the
	// record; starts that end before add up. 3, 1 min and half of MemberTimeout
	// (twice MinHealthy if that is longer) if zero; a negative StartLimit leaves it
	// to the operator.
	StartLimit     int
	StartTime      time.Duration
	ConfirmTimeout time.Duration

	// Watch says whether a process of the program that is displaced stays, from the
	// restart until the new program is confirmed, to put the one before back and to
	// start it if the new one dies, or hangs so that it cannot do so by itself. If it
	// is zero one stays where nobody is seen who starts the server again.
	Watch Watch

	Logger Logger // hclog's default, named upgrade, if nil
}

// DefaultPeerPath is where a handler of package httpapi with the default prefix
// has the routes that members ask each other.
const DefaultPeerPath = "/api/v3/system/upgrade/peer"

// A Logger takes a message and alternating keys and values. Both hclog.Logger
// and *slog.Logger are Loggers.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

func (c Config) withDefaults() (Config, error) {
	var missing []error
	need := func(ok bool, field string) {
		if !ok {
			missing = append(missing, fmt.Errorf("upgrade: Config.%s is required", field))
		}
	}
	need(c.Started != nil, "Started")
	need(c.Archives != nil, "Archives")
	need(c.Cluster != nil, "Cluster")
	need(c.Tracking != nil, "Tracking")
	need(c.Restart.Restart != nil, "Restart")
	if len(c.Keys) == 0 && !c.AllowUnsigned {
		missing = append(missing, errors.New("upgrade: Config.Keys is empty: nothing could ever be installed; "+
			"configure the public key of your releases, or set AllowUnsigned if you mean it"))
	}
	if c.Started != nil && c.Started.Identity.Product == "" {
		missing = append(missing, errors.New("upgrade: Identity.Product given to Boot is empty: archives name the product they are for"))
	}
	if c.Threshold < 0 || c.Threshold > len(c.Keys) && len(c.Keys) > 0 {
		missing = append(missing, fmt.Errorf("upgrade: Config.Threshold is %d with %d keys", c.Threshold, len(c.Keys)))
	}
	if err := errors.Join(missing...); err != nil {
		return c, err
	}
	if c.UploadSlots <= 0 {
		c.UploadSlots = 2
	}
	if c.PeerPath == "" {
		c.PeerPath = DefaultPeerPath
	}
	if c.Capabilities == nil {
		c.Capabilities = capabilities.File{}
	}
	if c.Logger == nil {
		c.Logger = hclog.Default().Named("upgrade")
	}
	for d, v := range map[*time.Duration]time.Duration{
		&c.StageTimeout: 10 * time.Minute, &c.MemberTimeout: time.Hour, &c.MinHealthy: 10 * time.Second,
		&c.RestartLease: 30 * time.Second, &c.DrainTimeout: 30 * time.Second, &c.StopTimeout: 30 * time.Second,
		&c.ProbeTimeout: 10 * time.Second, &c.GraceTime: 2 * time.Second, &c.StartTime: time.Minute,
	} {
		if *d == 0 {
			*d = v
		}
	}
	c.RestartLease = min(c.RestartLease, c.MemberTimeout)
	if c.ConfirmTimeout == 0 {
		c.ConfirmTimeout = max(c.MemberTimeout/2, 2*c.MinHealthy)
	}
	if c.ConfirmTimeout <= c.MinHealthy {
		return c, fmt.Errorf("upgrade: Config.ConfirmTimeout is %v, and a program has to be well for MinHealthy, %v: every one would be put back", c.ConfirmTimeout, c.MinHealthy)
	}
	if c.StartLimit == 0 {
		c.StartLimit = 3
	}
	return c, c.watchable()
}

// guard is what the next program has to keep to.
func (c Config) guard() *guard {
	if c.StartLimit < 0 {
		return nil
	}
	return &guard{Limit: c.StartLimit, Lasts: c.StartTime, Confirm: c.ConfirmTimeout, MinHealthy: c.MinHealthy, Companions: c.Companions}
}
