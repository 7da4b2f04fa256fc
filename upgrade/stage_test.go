package upgrade

import (
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/tracking"
)

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		p := m.boot()
		defer func() { p.end() }()
		ctx := t.Context()
		if _, err := p.Start(ctx, StartOptions{}); err != nil {
			wantRefusal(t, err, NotFound, "NothingStaged")
		}
		wantRefusal(t, p.Unstage(ctx, UnstageOptions{}), NotFound, "NothingStaged")
		empty := func(what string) {
			t.Helper()
			for info := range m.blobs.List(ctx) {
				t.Errorf("%s: left in the store: %v", what, info)
			}
			if m.run().Status != tracking.None {
				t.Errorf("%s: status %q", what, m.run().Status)
			}
		}
		_, err := p.Stage(ctx, strings.NewReader("hello"), StageOptions{Size: -1})
		wantRefusal(t, err, Invalid, archive.NotAnArchive)
		empty("not an archive")
		good := string(packed(t, "1.1.0"))
		_, err = p.Stage(ctx, strings.NewReader(good[:len(good)/2]), StageOptions{Size: int64(len(good))})
		wantRefusal(t, err, Short, "BodyEndedEarly")
		empty("short")
		_, err = p.Stage(ctx, strings.NewReader(good), StageOptions{Size: -1, Digest: archive.DigestOf([]byte("x"))})
		wantRefusal(t, err, Invalid, "DigestMismatch")
		empty("other digest")
		_, err = p.Stage(ctx, strings.NewReader(good), StageOptions{Size: 1 << 40})
		wantRefusal(t, err, TooLarge, "ArchiveTooLarge")
		_, err = p.Stage(ctx, io.MultiReader(strings.NewReader(good[:100]), brokenReader{fmt.Errorf("write: %w", syscall.ENOSPC)}), StageOptions{Size: -1})
		wantRefusal(t, err, NoSpace, "StoreFull")
		empty("no space")

		stage(t, p, "1.1.0")
		_, err = p.Stage(ctx, strings.NewReader(string(packed(t, "1.2.0"))), StageOptions{Size: -1})
		wantRefusal(t, err, Conflict, "AlreadyStaged")
		st, err := p.Stage(ctx, strings.NewReader(good), StageOptions{Size: -1})
		if err != nil || !st.Already || st.Release.Manifest.Version != "1.1.0" {
			t.Errorf("the same again: %+v, %v", st, err)
		}
		_, err = p.Start(ctx, StartOptions{Plan: "other"})
		wantRefusal(t, err, NotReady, "PlanChanged")
		_, err = p.Start(ctx, StartOptions{Skip: []string{"binary-path"}})
		wantRefusal(t, err, Invalid, "CheckNotSkippable")

		if err := p.Unstage(ctx, UnstageOptions{}); err != nil {
			t.Fatal(err)
		}
		empty("unstaged")
		if err := p.Unstage(ctx, UnstageOptions{}); err != nil {
			t.Errorf("a repeated unstage: %v", err)
		}
		time.Sleep(2 * time.Minute)
		wantRefusal(t, p.Unstage(ctx, UnstageOptions{}), NotFound, "NothingStaged")
	})
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

// A second archive is refused while a run works, and a second start is not.
func TestWhileWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		_, p := started(t, func(c *Config) {
			c.Drain = func(ctx context.Context) (func(), error) {
				select {
				case <-hold:
				case <-ctx.Done():
				}
				return func() {}, nil
			}
		})
		p.until(t.Context(), func(r tracking.Run) bool { return r.Turn("m1") != nil && r.Turn("m1").State == tracking.Prepared })
		_, err := p.Stage(t.Context(), strings.NewReader(string(packed(t, "1.2.0"))), StageOptions{Size: -1})
		wantRefusal(t, err, Conflict, "RunInProgress")
		run, err := p.Start(t.Context(), StartOptions{})
		if r, _ := p.Record(t.Context()); err != nil || run != r.ID {
			t.Errorf("a second start: %s, %v", run, err)
		}
		close(hold)
		<-p.ended
	})
}

// The new program is tried before anything is touched, and not by who may only
// stage.
func TestProbeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ script, says string }{
		"crashes":       {"#!/bin/sh\necho no such library >&2\nexit 127\n", "no such library"},
		"other version": {script("9.9.9"), "9.9.9"},
		"no probe":      {"#!/bin/sh\nexit 0\n", "upgrade.Probe"},
		"not a program": {"#!/does/not/exist\n", "does not start"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				p := m.boot()
				defer p.end()
				if _, err := p.Stage(t.Context(), strings.NewReader(string(packedAs(t, "1.1.0", c.script))), StageOptions{Size: -1}); err != nil {
					t.Fatal(err)
				}
				_, err := p.Start(t.Context(), StartOptions{})
				no := wantRefusal(t, err, NotReady, "PrerequisiteFailed")
				if !strings.Contains(no.Message, "new-program-starts") || !strings.Contains(no.Message, c.says) {
					t.Errorf("message %q does not say %q", no.Message, c.says)
				}
				if m.run().Status != tracking.Staged || m.installed() != "1.0.0" || len(m.leftovers()) > 0 {
					t.Errorf("status %s, installed %s, beside it %v", m.run().Status, m.installed(), m.leftovers())
				}
			})
		})
	}
}

// Trust outlives releases: once a signed one was confirmed, the latch holds, and
// the counter does not go back.
func TestTrustMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		p := m.boot()
		if err := p.journalize(func(j *journal) { j.Floor, j.Signed = 5, true }); err != nil {
			t.Fatal(err)
		}
		_, err := p.Stage(t.Context(), strings.NewReader(string(packed(t, "1.1.0"))), StageOptions{Size: -1})
		no := wantRefusal(t, err, Untrusted, archive.NoKeys)
		t.Log(no.Message)
		p.end()
	})
}

// What was removed while a Start looked at it is not what this machine lacks.
func TestUnstagedWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		remove := func() {}
		m.edit = func(c *Config) {
			c.Restart.Check = func(context.Context, string) error { remove(); return nil }
		}
		p := m.boot()
		defer p.end()
		stage(t, p, "1.1.0")
		remove = func() {
			remove = func() {}
			if err := p.Unstage(t.Context(), UnstageOptions{}); err != nil {
				t.Error(err)
			}
		}
		_, err := p.Start(t.Context(), StartOptions{})
		wantRefusal(t, err, NotFound, "NothingStaged")
	})
}
