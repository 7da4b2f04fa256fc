package httpapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// fake is an Upgrader whose record is a value in memory.
type fake struct {
	mu      sync.Mutex
	record  tracking.Run
	changed chan struct{}
	stale   bool
	members []upgrade.StatusMember
	calls   []string
	waiting chan struct{} // told of each Wait that blocks, if not nil

	// In place of the answers below.
	stage     func(ctx context.Context, body io.Reader, o upgrade.StageOptions) (upgrade.Staged, error)
	blob      func(ctx context.Context) (io.ReadSeekCloser, int64, error)
	fail      error // of every method but Wait
	installed bool

	check upgrade.CheckOptions    // of the last Check or Plan
	start upgrade.StartOptions    // of the last Start
	again upgrade.RetryOptions    // of the last Retry
	back  upgrade.RollbackOptions // of the last Rollback
	give  upgrade.CommitOptions   // of the last Commit
	pause upgrade.PauseOptions    // of the last Pause or Resume
	put   upgrade.StageOptions    // of the last Stage or Legacy
}

var at = time.Date(2026, 11, 22, 12, 2, 41, 0, time.UTC)

// set changes the record, with one line of the transcript if text is not empty.
func (f *fake) set(text string, change func(*tracking.Run)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.record)
	f.record.Rev++
	if text != "" {
		f.record.Lines++
		f.record.Log = append(f.record.Log, tracking.Line{Seq: f.record.Lines, At: at, Member: "m1", Type: "member.moved", Text: text})
	}
	if f.changed != nil {
		close(f.changed)
	}
	f.changed = make(chan struct{})
}

func (f *fake) called(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	return f.fail
}

func (f *fake) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

func (f *fake) Stage(ctx context.Context, body io.Reader, o upgrade.StageOptions) (upgrade.Staged, error) {
	if err := f.called("stage"); err != nil {
		return upgrade.Staged{}, err
	}
	f.mu.Lock()
	f.put = o
	f.mu.Unlock()
	if f.stage != nil {
		return f.stage(ctx, body, o)
	}
	return take(body)
}

// take reads body as an orchestrator would: into a store that wraps its errors.
func take(body io.Reader) (upgrade.Staged, error) {
	h := sha256.New()
	n, err := io.Copy(h, body)
	if err != nil {
		return upgrade.Staged{}, fmt.Errorf("upgrade: stage: %w", err)
	}
	return upgrade.Staged{Run: "r1", Release: archive.Release{
		Manifest: archive.Manifest{Product: "provd", Version: "4.12.0"},
		Archive:  archive.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), Size: n}}, nil
}

func (f *fake) Legacy(ctx context.Context, body io.Reader, o upgrade.StageOptions) (upgrade.Staged, error) {
	s, err := f.Stage(ctx, body, o)
	if err != nil {
		return s, err
	}
	return s, f.called("start")
}

func (f *fake) Start(_ context.Context, o upgrade.StartOptions) (string, error) {
	f.mu.Lock()
	f.start = o
	f.mu.Unlock()
	return "r1", f.called("start")
}

func (f *fake) Retry(_ context.Context, o upgrade.RetryOptions) (string, error) {
	f.mu.Lock()
	f.again = o
	f.mu.Unlock()
	return "r2", f.called("retry")
}

func (f *fake) Rollback(_ context.Context, o upgrade.RollbackOptions) (string, error) {
	f.mu.Lock()
	f.back = o
	f.mu.Unlock()
	return "r3", f.called("rollback")
}

func (f *fake) Commit(_ context.Context, o upgrade.CommitOptions) error {
	f.mu.Lock()
	f.give = o
	f.mu.Unlock()
	return f.called("commit")
}

func (f *fake) Pause(_ context.Context, o upgrade.PauseOptions) error {
	f.mu.Lock()
	f.pause = o
	f.mu.Unlock()
	return f.called("pause")
}

func (f *fake) Resume(_ context.Context, o upgrade.PauseOptions) error {
	f.mu.Lock()
	f.pause = o
	f.mu.Unlock()
	return f.called("resume")
}

func (f *fake) Unstage(context.Context, upgrade.UnstageOptions) error { return f.called("unstage") }

func (f *fake) Check(_ context.Context, o upgrade.CheckOptions) (upgrade.CheckReport, error) {
	f.mu.Lock()
	f.check = o
	f.mu.Unlock()
	return upgrade.CheckReport{Ready: true, Product: "provd", Version: "4.11.2"}, f.called("check")
}

func (f *fake) Plan(_ context.Context, o upgrade.CheckOptions) (upgrade.PlanReport, error) {
	f.mu.Lock()
	f.check = o
	f.mu.Unlock()
	return upgrade.PlanReport{ID: "5d1e90", Ready: true}, f.called("plan")
}

func (f *fake) Record(context.Context) (tracking.Run, error) {
	err := f.called("record")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.record, err
}

func (f *fake) Status(context.Context) (upgrade.Status, error) {
	err := f.called("status")
	f.mu.Lock()
	defer f.mu.Unlock()
	s := upgrade.Status{Schema: upgrade.StatusSchema, ObservedAt: time.Now(), Stale: f.stale, Revision: f.record.Rev,
		Product: "provd", Status: "none",
		Transcript: upgrade.StatusTranscript{Total: f.record.Lines, Lines: append([]tracking.Line(nil), f.record.Log...)}}
	if f.record.Status != tracking.None {
		s.Status = string(f.record.Status)
	}
	if f.record.ID != "" {
		s.Run = &upgrade.StatusRun{ID: f.record.ID}
	}
	for _, t := range f.record.Turns {
		s.Members = append(s.Members, upgrade.StatusMember{ID: t.Member, State: string(t.State)})
	}
	return s, err
}

func (f *fake) Wait(ctx context.Context, since tracking.Revision) (tracking.Revision, error) {
	for {
		f.mu.Lock()
		now := tracking.Revision(strconv.FormatUint(f.record.Rev, 10))
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed, waiting := f.changed, f.waiting
		f.mu.Unlock()
		if since != now {
			return now, nil
		}
		if waiting != nil {
			waiting <- struct{}{}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("wait: %w", context.Cause(ctx))
		}
	}
}

func (f *fake) PeerReport(context.Context) (upgrade.PeerReport, error) {
	return upgrade.PeerReport{Member: "m1", Boot: "b1", Version: "4.11.2", Ready: true, At: at}, f.called("report")
}

func (f *fake) PeerLook(context.Context) error { return f.called("look") }

func (f *fake) PeerBlob(ctx context.Context, d archive.Digest) (io.ReadSeekCloser, int64, error) {
	if err := f.called("blob " + string(d)); err != nil {
		return nil, 0, err
	}
	return f.blob(ctx)
}

func (f *fake) Installed(context.Context) (bool, error) { return f.installed, f.called("installed") }

// staged is a fake with something staged.
func staged() *fake {
	f := &fake{}
	f.set("staged", func(r *tracking.Run) {
		r.ID, r.Status = "r1", tracking.Staged
		r.Archive = tracking.Archive{Version: "4.12.0", Digest: "sha256:73cb"}
	})
	return f
}

// config allows everything.
func config(f *fake) httpapi.Config {
	return httpapi.Config{Upgrader: f, Authorize: func(*http.Request, httpapi.Right) error { return nil }}
}

func handler(t testing.TB, c httpapi.Config) *httpapi.Handler {
	t.Helper()
	h, err := httpapi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}
