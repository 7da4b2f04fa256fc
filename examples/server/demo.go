package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/examples/internal/show"
)

const (
	demoOld = "1.0.0"
	demoNew = "1.1.0"
	module  = "github.com/leaderlast/leaderlast"
)

// A demo shows one upgrade from beginning to end, on real processes.
type demo struct {
	json bool
	keep bool

	show.Scene
	server *show.Process
	sum    summary
}

// summary is what the demo found; --json prints it.
type summary struct {
	OK            bool     `json:"ok"`
	Problems      []string `json:"problems"`
	VersionBefore string   `json:"version_before"`
	VersionAfter  string   `json:"version_after"`
	DigestBefore  string   `json:"digest_before"`
	DigestAfter   string   `json:"digest_after"`
	PIDBefore     int      `json:"pid_before"`
	PIDAfter      int      `json:"pid_after"`
	Companion     string   `json:"companion_after"`
	Requests      int64    `json:"requests"`
	Failed        int64    `json:"requests_failed"`
	FirstFailure  string   `json:"first_failure,omitempty"`
	LongestGapMS  int64    `json:"longest_without_answer_ms"`
	StartUpMS     int64    `json:"bare_start_up_ms"`
	Status        string   `json:"status"`
	FinalState    string   `json:"final_state"`
	Transcript    []string `json:"transcript"`
	Dir           string   `json:"dir"`
	URL           string   `json:"url"`
	Kept          bool     `json:"kept"`
}

func demoCommand() *cobra.Command {
	d := &demo{sum: summary{Problems: []string{}}}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Build two versions, run the first, and let it upgrade itself to the second",
		Long: "Builds two versions of this server from source, starts the first as a process of its own on\n" +
			"loopback, makes a key, packs and signs an archive, and upgrades the server through its API while\n" +
			"a client keeps calling it. Ends with 0 only if everything went as promised. Needs Go.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.Out = cmd.OutOrStdout()
			if d.json {
				d.Out = io.Discard
			}
			err := d.run(cmd.Context())
			if err != nil {
				d.sum.Problems = append(d.sum.Problems, err.Error())
			}
			if cmd.Context().Err() != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "demo: interrupted; everything it started has ended and its files are gone")
				cmd.SilenceErrors = true // that was the word
				return cmd.Context().Err()
			}
			return d.report(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&d.json, "json", false, "print the summary as one JSON object, and nothing else")
	cmd.Flags().BoolVar(&d.keep, "keep", false, "leave the server running, and say how to go on by hand")
	return cmd
}

// run does everything but the report. What it started has ended when it returns,
// unless all went well and the server is to be kept.
func (d *demo) run(ctx context.Context) (err error) {
	if d.Dir, err = os.MkdirTemp("", "kvd-demo-"); err != nil {
		return err
	}
	d.sum.Dir = d.Dir
	d.Program = filepath.Join(d.Dir, "installed", "kvd")
	d.Env = []string{"KVD_DATA=" + filepath.Join(d.Dir, "data")}
	defer func() {
		show.AwaitInterrupt(ctx, err)
		d.sum.OK = err == nil && len(d.sum.Problems) == 0
		if d.keep && ctx.Err() == nil && d.server != nil {
			d.sum.Kept = true
			return
		}
		d.clean(ctx.Err() != nil)
	}()
	if err := d.build(ctx); err != nil {
		return err
	}
	if err := d.sign(ctx); err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	load, err := d.startLoad(ctx)
	if err != nil {
		return err
	}
	err = d.upgrade(ctx)
	d.sum.Requests, d.sum.Failed, d.sum.LongestGapMS, d.sum.FirstFailure = load.stop()
	if err != nil {
		return err
	}
	return d.judge(ctx)
}

// build makes both versions of the server and its companion.
func (d *demo) build(ctx context.Context) error {
	begin := time.Now()
	platform := filepath.Join("bin", runtime.GOOS, runtime.GOARCH)
	for version, dir := range map[string]string{demoOld: "installed", demoNew: filepath.Join("release", platform)} {
		for name, pkg := range map[string]string{"kvd": "/examples/server", "kvctl": "/examples/server/kvctl"} {
			if err := d.Build(ctx, filepath.Join(d.Dir, dir, name), module+pkg, "main.version="+version); err != nil {
				return err
			}
		}
	}
	d.Say("✓", "built     kvd and kvctl, %s and %s, from source in %s", demoOld, demoNew, show.Took(begin))
	return nil
}

// sign makes a key, and a signed archive of the new version.
func (d *demo) sign(ctx context.Context) error {
	for _, args := range [][]string{
		{"upgrade", "keygen", "--no-password", "--out", "release"},
		{"upgrade", "pack", "--product", "kvd", "--version", demoNew, "--counter", "2", "--out", "kvd-" + demoNew + ".zip", "release"},
		{"upgrade", "sign", "--key", "release.key", "kvd-" + demoNew + ".zip"},
	} {
		if err := d.Command(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// start runs the old version as a process of its own, and waits until it serves.
func (d *demo) start(ctx context.Context) error {
	cmd := exec.Command(d.Program, "serve", "--data", filepath.Join(d.Dir, "data"),
		"--listen", "127.0.0.1:0", "--upgrade-key", filepath.Join(d.Dir, "release.pub"), "--min-healthy", "2s")
	cmd.Dir = d.Dir
	var err error
	if d.server, err = show.Start(cmd, filepath.Join(d.Dir, "kvd.log")); err != nil {
		return err
	}
	err = d.server.Await(ctx, 30*time.Second, func(ctx context.Context) error {
		c, err := show.NewCaller(filepath.Join(d.Dir, "data"))
		if err != nil {
			return err
		}
		info, err := askInfo(ctx, c)
		d.sum.URL, d.sum.VersionBefore, d.sum.PIDBefore = c.URL, info.Version, info.PID
		return err
	})
	if err != nil {
		return fmt.Errorf("kvd %s: %w", demoOld, err)
	}
	d.sum.StartUpMS = time.Since(d.server.Began).Milliseconds()
	d.sum.DigestBefore, err = show.FileDigest(d.Program)
	fmt.Fprintln(d.Out)
	d.Say("✓", "serving   kvd %s, pid %d, %s, after %d ms", d.sum.VersionBefore, d.sum.PIDBefore, d.sum.URL, d.sum.StartUpMS)
	return err
}

// upgrade does the main job, by commands alone.
func (d *demo) upgrade(ctx context.Context) error {
	file := "./kvd-" + demoNew + ".zip"
	for _, args := range [][]string{
		{"upgrade", "check", file},
		{"upgrade", "stage", file},
		{"upgrade", "start"},
		{"upgrade", "status", "--watch"},
	} {
		if err := d.Command(ctx, args...); err != nil {
			return err
		}
	}
	fmt.Fprintln(d.Out)
	return nil
}

// clean ends the server, and removes everything unless there is something to
// look at.
func (d *demo) clean(interrupted bool) {
	if d.server != nil {
		d.server.Stop()
	}
	if interrupted || d.sum.OK {
		os.RemoveAll(d.Dir)
	} else {
		d.Say("✗", "left for a look: %s", d.Dir)
	}
}
