package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
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
	out  io.Writer // what people read; discarded with --json

	dir    string // everything lies here
	server *exec.Cmd
	ended  chan struct{} // closed when the server's process ended
	log    *os.File
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
			d.out = cmd.OutOrStdout()
			if d.json {
				d.out = io.Discard
			}
			err := d.run(cmd.Context())
			if err != nil {
				d.sum.Problems = append(d.sum.Problems, err.Error())
			}
			if cmd.Context().Err() != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "demo: interrupted; everything it started has ended and its files are gone")
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
	if d.dir, err = os.MkdirTemp("", "kvd-demo-"); err != nil {
		return err
	}
	d.sum.Dir = d.dir
	defer func() {
		awaitInterrupt(ctx, err)
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

func (d *demo) say(mark, format string, args ...any) {
	fmt.Fprintf(d.out, "%s %s\n", mark, fmt.Sprintf(format, args...))
}

// build makes both versions of the server and its companion.
func (d *demo) build(ctx context.Context) error {
	begin := time.Now()
	platform := filepath.Join("bin", runtime.GOOS, runtime.GOARCH)
	for version, dir := range map[string]string{demoOld: "installed", demoNew: filepath.Join("release", platform)} {
		for name, pkg := range map[string]string{"kvd": "/examples/server", "kvctl": "/examples/server/kvctl"} {
			cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version,
				"-o", filepath.Join(d.dir, dir, name), module+pkg)
			cmd.Env = append(os.Environ(), "GOTMPDIR="+d.dir) // what it leaves when it is interrupted goes with the rest
			d.interruptible(cmd)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("build %s %s (run the demo inside the repository): %w\n%s", name, version, err, out)
			}
		}
	}
	d.say("✓", "built     kvd and kvctl, %s and %s, from source in %.0fs", demoOld, demoNew, time.Since(begin).Seconds())
	return nil
}

// sign makes a key, and a signed archive of the new version.
func (d *demo) sign(ctx context.Context) error {
	for _, args := range [][]string{
		{"upgrade", "keygen", "--no-password", "--out", "release"},
		{"upgrade", "pack", "--product", "kvd", "--version", demoNew, "--counter", "2", "--out", "kvd-" + demoNew + ".zip", "release"},
		{"upgrade", "sign", "--key", "release.key", "kvd-" + demoNew + ".zip"},
	} {
		if err := d.command(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// command runs a command of the installed version, and shows it.
func (d *demo) command(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(d.dir, "installed", "kvd"), args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "KVD_DATA="+filepath.Join(d.dir, "data"))
	d.interruptible(cmd)
	fmt.Fprintf(d.out, "\n$ kvd %s\n", strings.Join(args, " "))
	cmd.Stdout, cmd.Stderr = d.out, d.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kvd %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// awaitInterrupt is for a command that a signal ended: it may have been Ctrl-C,
// in the instant before the command had a process group of its own. We hear of it
// too, perhaps a moment later.
func awaitInterrupt(ctx context.Context, err error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// interruptible has Ctrl-C reach cmd through the demo alone: cmd must not fail
// before the demo knows why.
func (d *demo) interruptible(cmd *exec.Cmd) {
	detach(cmd)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
}

// start runs the old version as a process of its own, and waits until it serves.
func (d *demo) start(ctx context.Context) error {
	var err error
	if d.log, err = os.Create(filepath.Join(d.dir, "kvd.log")); err != nil {
		return err
	}
	d.server = exec.Command(filepath.Join(d.dir, "installed", "kvd"), "serve", "--data", filepath.Join(d.dir, "data"),
		"--listen", "127.0.0.1:0", "--upgrade-key", filepath.Join(d.dir, "release.pub"), "--min-healthy", "2s")
	d.server.Dir = d.dir
	d.server.Stdout, d.server.Stderr = d.log, d.log
	detach(d.server) // Ctrl-C is for the demo, which ends the server itself
	begin := time.Now()
	if err := d.server.Start(); err != nil {
		return err
	}
	d.ended = make(chan struct{})
	go func() { defer close(d.ended); d.server.Wait() }()
	for {
		if c, err := newCaller(filepath.Join(d.dir, "data")); err == nil {
			if info, err := c.info(ctx); err == nil {
				d.sum.StartUpMS = time.Since(begin).Milliseconds()
				d.sum.URL, d.sum.VersionBefore, d.sum.PIDBefore = c.url, info.Version, info.PID
				break
			}
		}
		select {
		case <-d.ended:
			return fmt.Errorf("kvd %s ended at once; its log:\n%s", demoOld, d.lastLog())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
			if time.Since(begin) > 30*time.Second {
				return fmt.Errorf("kvd %s does not answer after 30s; its log:\n%s", demoOld, d.lastLog())
			}
		}
	}
	d.sum.DigestBefore, err = fileDigest(filepath.Join(d.dir, "installed", "kvd"))
	fmt.Fprintln(d.out)
	d.say("✓", "serving   kvd %s, pid %d, %s, after %d ms", d.sum.VersionBefore, d.sum.PIDBefore, d.sum.URL, d.sum.StartUpMS)
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
		if err := d.command(ctx, args...); err != nil {
			return err
		}
	}
	fmt.Fprintln(d.out)
	return nil
}

// clean ends the server, and removes everything unless there is something to
// look at.
func (d *demo) clean(interrupted bool) {
	if d.server != nil && d.server.Process != nil {
		d.server.Process.Signal(os.Interrupt)
		select {
		case <-d.ended:
		case <-time.After(15 * time.Second):
			d.server.Process.Kill()
			<-d.ended
		}
	}
	if d.log != nil {
		d.log.Close()
	}
	if interrupted || d.sum.OK {
		os.RemoveAll(d.dir)
	} else {
		d.say("✗", "left for a look: %s", d.dir)
	}
}

func (d *demo) lastLog() string {
	b, _ := os.ReadFile(filepath.Join(d.dir, "kvd.log"))
	if len(b) > 4096 {
		b = b[len(b)-4096:]
	}
	return string(b)
}
