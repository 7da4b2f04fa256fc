package archivetest_test

import (
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
)

// The test of an archive.Store is one call.
func ExampleTestStore() {
	_ = func(t *testing.T) {
		archivetest.TestStore(t, func(t *testing.T) archive.Store { return &archivetest.Memory{} })
	}
}

// A test that needs a release that was really checked makes one.
func ExampleRelease() {
	_ = func(t *testing.T) {
		release := archivetest.Release(t, archivetest.Spec{Version: "2.0.0"})
		if _, _, err := release.Open(t.Context(), "manifest.json"); err != nil {
			t.Error(err)
		}
	}
}
