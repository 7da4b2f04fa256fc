package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/examples/internal/show"
	"github.com/leaderlast/leaderlast/examples/internal/spoil"
	"github.com/leaderlast/leaderlast/examples/internal/web"
)

const (
	demoOld = "1.0.0"
	demoNew = "1.1.0"
	module  = "github.com/leaderlast/leaderlast/examples/raftserver"
)

// A demo shows how a cluster upgrades itself, on real processes.
type demo struct {
	show.Scene
	size          int
	json          bool
	keep          bool
	broken        string // what is to go wrong; "" for nothing
	minHealthy    time.Duration
	memberTimeout time.Duration

	nodes   []*node
	archive string // file name
	target  string // digest of the new program
	watch   *watcher
	mu      sync.Mutex
	screen  *screen // while a run is shown
	load    *load
	sum     summary
}

func demoCommand() *cobra.Command {
	d := &demo{sum: summary{Problems: []string{}}}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Build two versions, run a cluster of the first, and let it upgrade itself to the second",
		Long: "Builds two versions of this server from source, starts the first as a cluster of real processes\n" +
			"on loopback, makes a key, packs and signs an archive, stages it at one member, and lets the cluster\n" +
			"upgrade itself, the leader last, while clients keep reading and writing at every member. Ends with 0\n" +
			"only if everything went as promised. Needs Go.\n\n" +
			"With --break something goes wrong, and 0 means that what the documentation promises for it was seen:\n" +
			breakHelp(),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.broken = strings.ToUpper(d.broken)
			if err := d.valid(); err != nil {
				return err
			}
			if d.memberTimeout == 0 {
				d.memberTimeout = 30 * time.Second
				if breaks[d.broken].spoil != spoil.Good {
					d.memberTimeout = 10 * time.Second
				}
			}
			d.Out = cmd.OutOrStdout()
			if d.json {
				d.Out = io.Discard
			}
			d.sum.Break, d.sum.Promised = d.broken, strings.ReplaceAll(breaks[d.broken].promise, "\n", " ")
			d.promise()
			err := d.run(cmd.Context())
			if err != nil {
				d.sum.problem("%v", err)
			}
			if cmd.Context().Err() != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "demo: interrupted; everything it started has ended and its files are gone")
				cmd.SilenceErrors = true // that was the word
				return cmd.Context().Err()
			}
			return d.report(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&d.size, "members", 3, "members of the cluster: 1, 3 or 5")
	f.BoolVar(&d.json, "json", false, "print the summary as one JSON object, and nothing else")
	f.BoolVar(&d.keep, "keep", false, "leave the cluster running, and say how to go on by hand")
	f.StringVar(&d.broken, "break", "", "what is to go wrong: "+strings.Join(breakNames(), ", "))
	f.DurationVar(&d.minHealthy, "min-healthy", 1500*time.Millisecond, "time for which a new version must be well")
	f.DurationVar(&d.memberTimeout, "member-timeout", 0, "time that one member may take (default 30s, or 10s where the new version is spoilt)")
	return cmd
}

func (d *demo) valid() error {
	if !slices.Contains([]int{1, 3, 5}, d.size) {
		return fmt.Errorf("--members %d: a demo has 1, 3 or 5", d.size)
	}
	if d.broken == "" {
		return nil
	}
	b, ok := breaks[d.broken]
	if !ok {
		return fmt.Errorf("--break %s: it is one of %s", d.broken, strings.Join(breakNames(), ", "))
	}
	if d.size < b.least {
		return fmt.Errorf("--break %s needs --members %d or more: one member alone has nobody to go on without it", d.broken, b.least)
	}
	return nil
}

// run does everything but the report. What it started has ended when it returns,
// unless all went well and the cluster is to be kept.
func (d *demo) run(ctx context.Context) (err error) {
	if d.Dir, err = os.MkdirTemp("", product+"-demo-"); err != nil {
		return err
	}
	d.sum.Dir = d.Dir
	d.Program = filepath.Join(d.Dir, product)
	d.archive = "./" + product + "-" + demoNew + ".zip"
	d.Env = []string{"RAFTKVD_DATA=" + filepath.Join(d.Dir, "m1", "data")}
	defer func() {
		show.AwaitInterrupt(ctx, err)
		d.watch.end()
		d.sum.OK = err == nil && len(d.sum.Problems) == 0
		if d.keep && ctx.Err() == nil && d.nodes != nil {
			d.sum.Kept = true
			return
		}
		d.clean(ctx.Err() != nil)
	}()
	for _, step := range []func(context.Context) error{
		d.build, d.sign, d.start, d.bareRestarts, d.before, d.startLoad, d.upgrade, d.endLoad, d.judge,
	} {
		if err := step(ctx); err != nil {
			if d.load != nil {
				d.load.abort()
			}
			return err
		}
	}
	return nil
}

// build makes both versions.
func (d *demo) build(ctx context.Context) error {
	begin := time.Now()
	next := filepath.Join(d.Dir, "release", "bin", runtime.GOOS, runtime.GOARCH, product)
	if err := d.Build(ctx, d.Program, module, "main.version="+demoOld); err != nil {
		return err
	}
	values := []string{"main.version=" + demoNew}
	if b := breaks[d.broken]; b.spoil != spoil.Good {
		values = append(values, "main.spoilt="+string(b.spoil))
	}
	if err := d.Build(ctx, next, module, values...); err != nil {
		return err
	}
	d.Say("✓", "built     %s %s and %s from source in %s", product, demoOld, demoNew, show.Took(begin))
	return nil
}

// sign makes a key, and a signed archive of the new version.
func (d *demo) sign(ctx context.Context) error {
	for _, args := range [][]string{
		{"upgrade", "keygen", "--no-password", "--out", "release"},
		{"upgrade", "pack", "--product", product, "--version", demoNew, "--counter", "2", "--out", d.archive, "release"},
		{"upgrade", "sign", "--key", "release.key", d.archive},
	} {
		if err := d.Command(ctx, args...); err != nil {
			return err
		}
	}
	fmt.Fprintln(d.Out)
	return nil
}

// bareRestarts restarts each member the plain way, the leader last, to know what
// that costs. Clients write meanwhile, so that the gap of each way can be compared.
func (d *demo) bareRestarts(ctx context.Context) error {
	if d.broken != "" {
		return nil // it is no yardstick then
	}
	l := startLoad(ctx, "bare", d.nodes, d.client)
	defer l.abort()
	order, err := d.leaderLast(ctx)
	if err != nil {
		return err
	}
	for _, n := range order {
		begin := time.Now()
		n.stop()
		if err := n.start(); err != nil {
			return err
		}
		if err := n.serves(ctx); err != nil {
			return err
		}
		d.sum.member(n.id).BareRestart = ms(time.Since(begin))
		d.sum.BareSum += ms(time.Since(begin))
	}
	l.end()
	d.sum.BareGap = ms(l.gap)
	d.Say("✓", "measured  %s restarted the plain way, in %s%s; then nothing could be written for up to %s",
		d.only("it", "each member"), d.sum.BareSum, d.only("", " together"), d.sum.BareGap)
	return ctx.Err()
}

// leaderLast returns the nodes with the one that leads now at the end.
func (d *demo) leaderLast(ctx context.Context) ([]*node, error) {
	info, err := d.nodes[0].info(ctx, d.nodes[0].fresh)
	if err != nil {
		return nil, err
	}
	order := slices.Clone(d.nodes)
	slices.SortStableFunc(order, func(a, b *node) int {
		switch info.Leader {
		case a.id:
			return 1
		case b.id:
			return -1
		}
		return 0
	})
	return order, nil
}

func (d *demo) startLoad(ctx context.Context) error {
	d.load = startLoad(ctx, "load", d.nodes, d.client)
	return nil
}

// endLoad lets every client finish, and asks every member for all they wrote.
func (d *demo) endLoad(ctx context.Context) error {
	d.load.end()
	d.sum.Writes, d.sum.Reads = d.load.writes, d.load.reads
	d.sum.Gap, d.sum.GapAt, d.sum.ReadsMissing = ms(d.load.gap), d.load.gapAt, d.load.missing
	var err error
	d.sum.Lost, d.sum.FirstLost, err = d.load.lost(ctx, d.reachable(ctx))
	return err
}

// reachable are the nodes that answer: all but those that something was to
// happen to.
func (d *demo) reachable(ctx context.Context) []*node {
	if breaks[d.broken].spoil == spoil.Good {
		return d.nodes
	}
	return slices.DeleteFunc(slices.Clone(d.nodes), func(n *node) bool {
		_, err := n.info(ctx, n.fresh)
		return err != nil
	})
}

// client returns one that believes the demo's authority.
func (d *demo) client(fresh bool) *http.Client {
	return show.Client(fresh, web.Trust(filepath.Join(d.Dir, "m1", "data")))
}

// clean ends all servers, and removes everything unless there is something to
// look at.
func (d *demo) clean(interrupted bool) {
	var stopping sync.WaitGroup
	for _, n := range d.nodes {
		stopping.Go(n.stop)
	}
	stopping.Wait()
	if interrupted || d.sum.OK {
		os.RemoveAll(d.Dir)
	} else {
		d.Say("✗", "left for a look: %s", d.Dir)
	}
}
