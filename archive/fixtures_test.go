package archive_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
)

var linuxAMD64 = archive.Platform{OS: "linux", Arch: "amd64"}

func archivetestProgram() string {
	return string(archivetest.Program(linuxAMD64, "a server to be upgraded"))
}

// sumsOf writes sha256sums.
func sumsOf(files map[string]string) string {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b.WriteString(archive.DigestOf([]byte(files[name])).Hex() + "  " + name + "\n")
	}
	return b.String()
}

// checkBytes puts b into an empty store and checks it as a release of "server"
// for linux/amd64, unsigned unless p has keys. It returns how many blobs are in
// the store afterwards.
func checkBytes(t testing.TB, b []byte, p archive.Policy) (left int, err error) {
	t.Helper()
	s := &archivetest.Memory{}
	d, err := s.Put(t.Context(), "", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	p.Product, p.Program = "server", "server"
	p.AllowUnsigned = p.AllowUnsigned || len(p.Keys) == 0
	if p.Platforms == nil {
		p.Platforms = []archive.Platform{linuxAMD64}
	}
	v, err := archive.Check(t.Context(), s, d, p)
	if v.IsZero() != (err != nil) {
		t.Errorf("Check returns %v and a Verified that is zero: %v", err, v.IsZero())
	}
	for _, err := range s.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		left++
	}
	return left, err
}
