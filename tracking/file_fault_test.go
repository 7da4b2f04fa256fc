package tracking

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// A disk that fails in a way that leaves open what a crash brings back: nothing
// is promised any more, and waiters hear of it.
func TestFileUncertain(t *testing.T) {
	broken := errors.New("the disk is on fire")
	for name, write := range map[string]func(path string, data []byte, perm fs.FileMode) error{
		"replaced, not synced": func(path string, data []byte, perm fs.FileMode) error {
			if err := durable.WriteFile(path, data, perm); err != nil {
				return err
			}
			return fmt.Errorf("%w: %w", durable.ErrUnsynced, broken)
		},
		"replaced, error": func(path string, data []byte, perm fs.FileMode) error {
			return errors.Join(durable.WriteFile(path, data, perm), broken)
		},
		"half written": func(path string, data []byte, perm fs.FileMode) error {
			return errors.Join(durable.WriteFile(path, data[:len(data)/2], perm), broken)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "record.json")
			f, err := NewFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			rev, err := f.Swap(ctx, "run", "", []byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			_, since, err := f.Wait(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			woken := make(chan error)
			go func() {
				_, _, err := f.Wait(ctx, since)
				woken <- err
			}()
			f.write = write
			_, err = f.Swap(ctx, "run", rev, []byte("after"))
			if !errors.Is(err, broken) || !strings.Contains(err.Error(), "not known") {
				t.Errorf("Swap = %v, want the cause and that the outcome is not known", err)
			}
			_, _, loadErr := f.Load(ctx, "run")
			_, swapErr := f.Swap(ctx, "run", rev, []byte("again"))
			for call, err := range map[string]error{"Load": loadErr, "Swap": swapErr, "Wait": <-woken} {
				if !errors.Is(err, broken) {
					t.Errorf("%s afterwards = %v, want the cause", call, err)
				}
			}
		})
	}
}

// What did not reach the disk does not show, and the revision goes to the next.
func TestFileRefused(t *testing.T) {
	ctx := t.Context()
	f, err := NewFile(filepath.Join(t.TempDir(), "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	full := errors.New("disk full")
	for _, stored := range []string{"", "first"} {
		_, rev, _ := f.Load(ctx, "run")
		f.write = func(string, []byte, fs.FileMode) error { return full }
		if _, err := f.Swap(ctx, "run", rev, []byte("second")); !errors.Is(err, full) || !strings.Contains(err.Error(), "nothing has changed") {
			t.Errorf("Swap = %v, want the cause and that nothing has changed", err)
		}
		if v, now, err := f.Load(ctx, "run"); string(v) != stored || now != rev || err != nil {
			t.Errorf("Load = %q, %q, %v; want %q, %q", v, now, err, stored, rev)
		}
		f.write = durable.WriteFile
		if _, err := f.Swap(ctx, "run", rev, []byte("first")); err != nil {
			t.Errorf("the next Swap: %v", err)
		}
	}
}

// A write that hangs holds up neither readers nor callers who give up; it ends
// as it ends.
func TestFileSlow(t *testing.T) {
	f, err := NewFile(filepath.Join(t.TempDir(), "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	f.write = func(path string, data []byte, perm fs.FileMode) error {
		entered <- struct{}{}
		<-release
		return durable.WriteFile(path, data, perm)
	}
	cause := errors.New("no patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	value := []byte("value")
	first := make(chan error)
	go func() {
		_, err := f.Swap(ctx, "run", "", value)
		first <- err
	}()
	<-entered
	if v, rev, err := f.Load(t.Context(), "run"); v != nil || rev != "" || err != nil {
		t.Errorf("Load during the write = %q, %q, %v", v, rev, err)
	}
	second := make(chan error)
	go func() {
		_, err := f.Swap(ctx, "plan", "", value)
		second <- err
	}()
	_, since, err := f.Wait(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	for range 2 {
		select {
		case err = <-first:
		case err = <-second:
		}
		if !errors.Is(err, cause) {
			t.Errorf("a Swap that was given up = %v, want its cause", err)
		}
	}
	copy(value, "!!!!!") // the caller has it back
	close(release)
	if _, _, err := f.Wait(t.Context(), since); err != nil {
		t.Fatal(err)
	}
	if v, rev, err := f.Load(t.Context(), "run"); string(v) != "value" || rev != "1" || err != nil {
		t.Errorf("Load after the write = %q, %q, %v", v, rev, err)
	}
	if v, _, err := f.Load(t.Context(), "plan"); v != nil || err != nil {
		t.Errorf("a Swap given up before its write began happened: %q, %v", v, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
