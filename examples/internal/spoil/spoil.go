package spoil

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
)

// A Way is how a version is spoilt. All of them answer a probe as a good version
// does: nothing here happens before the server is to serve.
type Way string

// Good is not spoilt.
const Good Way = ""

// What goes wrong before anything is opened.
const (
	EndsBeforeBoot Way = "ends-before-boot" // with status 3, before upgrade.Boot is called
	EndsAtOnce     Way = "ends-at-once"     // with status 3, after it
	Hangs          Way = "hangs"            // before it listens
	OtherVersion   Way = "other-version"    // it calls itself otherwise than it told the probe
	NoCapabilities Way = "no-capabilities"  // it has lost those that its file gave it
	Corrupts       Way = "corrupts"         // overwrites its data, and ends with status 3
	CorruptsHangs  Way = "corrupts-hangs"   // overwrites its data, and hangs
)

// What goes wrong once it serves.
const (
	Start      Way = "start"       // ends with an error as soon as it serves
	EndsLate   Way = "ends-late"   // ends with status 3 after 2 s
	NeverReady Way = "never-ready" // serves, but says that it is not ready
	Flaps      Way = "flaps"       // is ready one time, and not the next
	NoCatchUp  Way = "no-catch-up" // a member that does not apply what the others have agreed upon
)

// ways are all that there are.
var ways = map[Way]string{
	Good: "", EndsBeforeBoot: "it ends at once", EndsAtOnce: "it ends at once", Hangs: "it hangs before it listens",
	OtherVersion: "it is another version than it said", NoCapabilities: "it has no capabilities",
	Corrupts: "it overwrites its data and ends", CorruptsHangs: "it overwrites its data and hangs",
	Start: "it ends as soon as it serves", EndsLate: "it ends after 2 s", NeverReady: "it is never ready",
	Flaps: "it is ready one time and not the next", NoCatchUp: "it never catches up",
}

// late is after how long a version that is EndsLate ends.
const late = 2 * time.Second

// status is that with which a spoilt version ends.
const status = 3

// A Program is one that may be spoilt. Its methods are called where the server
// gets to what they are named after.
type Program struct {
	way   Way
	calls atomic.Int64 // of Ready
	say   func(msg string, args ...any)
	exit  func(code int)
}

// New returns the program that is spoilt in this way, which is the value linked
// in. say, a method of a logger, is told what goes wrong.
func New(way string, say func(msg string, args ...any)) (*Program, error) {
	if _, ok := ways[Way(way)]; !ok {
		return nil, fmt.Errorf("this version was linked as spoilt in a way that there is not: %q", way)
	}
	return &Program{way: Way(way), say: say, exit: os.Exit}, nil
}

// Is reports whether it is spoilt in this way.
func (p *Program) Is(way Way) bool { return p.way == way }

// Begin is called first of all on the path that serves.
func (p *Program) Begin() error {
	switch p.way {
	case EndsBeforeBoot:
		p.end()
	case NoCapabilities:
		if err := dropCapabilities(); err != nil {
			return p.err(err)
		}
	}
	return nil
}

// Identity is what the program says of itself once it serves.
func (p *Program) Identity(id upgrade.Identity) upgrade.Identity {
	if p.way == OtherVersion {
		id.Version += "-other"
	}
	return id
}

// Booted is called after upgrade.Boot, before anything is opened. It hangs until
// ctx is done.
func (p *Program) Booted(ctx context.Context) error {
	switch p.way {
	case EndsAtOnce:
		p.end()
	case Hangs:
		return p.hang(ctx)
	}
	return nil
}

// Opened is called when the data were opened, with the file that has them.
func (p *Program) Opened(ctx context.Context, data string) error {
	if p.way != Corrupts && p.way != CorruptsHangs {
		return nil
	}
	if err := overwrite(data); err != nil {
		return p.err(err)
	}
	if p.way == CorruptsHangs {
		return p.hang(ctx)
	}
	p.end()
	return nil
}

// overwrite spoils all of the file.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	text := "spoilt " + filepath.Base(path) + "\n"
	if info, e := f.Stat(); e == nil {
		text = strings.Repeat(text, int(info.Size())/len(text)+1)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// Serving is called as soon as the server serves.
func (p *Program) Serving() error {
	switch p.way {
	case Start:
		return p.err(nil)
	case EndsLate:
		time.AfterFunc(late, p.end)
	}
	return nil
}

// Ready returns an error in place of what the server says of its readiness, if it
// is not to be ready.
func (p *Program) Ready() error {
	n := p.calls.Add(1)
	if p.way == NeverReady || p.way == Flaps && n%2 == 0 {
		return p.err(nil)
	}
	return nil
}

// Apply is called before a member of a cluster applies what was agreed upon. It
// does not return if the member is not to catch up.
func (p *Program) Apply() {
	if p.way == NoCatchUp {
		select {}
	}
}

func (p *Program) hang(ctx context.Context) error {
	p.say("spoilt", "way", p.way, "so", ways[p.way])
	<-ctx.Done()
	return p.err(nil)
}

func (p *Program) end() {
	p.say("spoilt", "way", p.way, "so", ways[p.way])
	p.exit(status)
}

func (p *Program) err(err error) error {
	if err != nil {
		return fmt.Errorf("this version was spoilt (%s): %w", ways[p.way], err)
	}
	return fmt.Errorf("this version was spoilt: %s", ways[p.way])
}
