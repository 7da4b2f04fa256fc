package tracking_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/tracking/trackingtest"
)

func TestFileReopen(t *testing.T) {
	trackingtest.TestRestart(t, func(t *testing.T) (tracking.Store, func() tracking.Store) {
		f := open(t, filepath.Join(t.TempDir(), "record.json"))
		return f, func() tracking.Store {
			if err := errors.Join(f.Close(), f.Reopen()); err != nil {
				t.Error(err)
			}
			return f
		}
	})
}

// TestFileReopenOthers: a successor that had the file meanwhile is not written over,
// and while it has it the File stays closed.
func TestFileReopenOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	f := open(t, path)
	old, err := f.Swap(t.Context(), tracking.KeyRun, "", []byte(`{"format":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err != nil {
		t.Errorf("Reopen of an open File: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	other := open(t, path)
	if err := f.Reopen(); !errors.Is(err, tracking.ErrLocked) {
		t.Errorf("Reopen while another File is open: %v, want ErrLocked", err)
	}
	if _, _, err := f.Load(t.Context(), tracking.KeyRun); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Load after a Reopen that failed: %v, want fs.ErrClosed", err)
	}
	if _, err := other.Swap(t.Context(), tracking.KeyRun, old, []byte(`{"format":1,"rev":2}`)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.Close(), f.Reopen()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Swap(t.Context(), tracking.KeyRun, old, []byte(`{"format":1,"rev":3}`)); !errors.Is(err, tracking.ErrConflict) {
		t.Errorf("Swap of what the successor has replaced: %v, want ErrConflict", err)
	}
	if _, _, err := f.Wait(t.Context(), old); err != nil {
		t.Errorf("Wait from before: %v", err)
	}
}
