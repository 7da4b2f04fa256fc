package archive

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"
)

// A Platform is what a program was built for.
type Platform struct {
	OS      string `json:"os"`                // GOOS
	Arch    string `json:"arch"`              // GOARCH
	Variant string `json:"variant,omitempty"` // free: "musl", "v7"; "" is the plain build
}

// String returns os/arch or os/arch/variant, as in the names of an archive.
func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// A Manifest is what the maker of a release says of it, in manifest.json. It is
// listed in sha256sums, so that a signature over those covers it.
type Manifest struct {
	Product string    `json:"product"`
	Version string    `json:"version"`
	Counter uint64    `json:"counter"`          // grows with every release, whatever its version
	Created time.Time `json:"created,omitzero"` // UTC
	Expires time.Time `json:"expires,omitzero"` // UTC; zero: never
}

// A File is one file that a release installs or carries along.
type File struct {
	Name     string   `json:"name"` // in the archive, without "./"
	Digest   Digest   `json:"digest"`
	Size     int64    `json:"size"`     // bytes
	Platform Platform `json:"platform"` // zero unless the file lies under bin/
}

// A Release is what is known of a checked archive. It is plain data, and proves
// nothing by itself; a Verified does.
type Release struct {
	Manifest Manifest `json:"manifest"`
	Sums     Digest   `json:"sums"`    // of sha256sums: names the release, whatever it is packed in
	Archive  Digest   `json:"archive"` // of the archive; "" where only the head was seen
	Size     int64    `json:"size"`    // of the archive, bytes
	Unpacked int64    `json:"unpacked"`
	Files    []File   `json:"files"`
	SignedBy []string `json:"signed_by"` // key ids, upper-case hex
	Unsigned bool     `json:"unsigned"`  // accepted without a signature
}

// For returns the files for p by base name: those of its variant, and those of
// the plain build that the variant lacks. It is empty if there are none.
func (r Release) For(p Platform) map[string]File {
	plain := p
	plain.Variant = ""
	files := make(map[string]File)
	for _, build := range []Platform{plain, p} {
		for _, f := range r.Files {
			if f.Platform == build && f.Platform != (Platform{}) {
				files[path.Base(f.Name)] = f
			}
		}
	}
	return files
}

// Platforms returns what the release has files for, sorted by their names.
func (r Release) Platforms() []Platform {
	var all []Platform
	for _, f := range r.Files {
		if f.Platform != (Platform{}) && !slices.Contains(all, f.Platform) {
			all = append(all, f.Platform)
		}
	}
	slices.SortFunc(all, func(a, b Platform) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// Blobs returns the digests of everything a member has to hold, each once: the
// archive, sha256sums and the files.
func (r Release) Blobs() []Digest {
	var all []Digest
	add := func(d Digest) {
		if d != "" && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	add(r.Archive)
	add(r.Sums)
	for _, f := range r.Files {
		add(f.Digest)
	}
	return all
}

// platformOf returns what the file called name is for; zero outside bin/.
func platformOf(name string) (Platform, error) {
	parts := strings.Split(name, "/")
	switch {
	case parts[0] != "bin":
		return Platform{}, nil
	case len(parts) == 4:
		return Platform{OS: parts[1], Arch: parts[2]}, nil
	case len(parts) == 5:
		return Platform{OS: parts[1], Arch: parts[2], Variant: parts[3]}, nil
	}
	return Platform{}, refuse(BadLayout, name, "is not bin/<os>/<arch>/<name> or bin/<os>/<arch>/<variant>/<name>")
}

// serves says what p lacks to run program.
func (r Release) serves(p Platform, program string) error {
	files := r.For(p)
	if len(files) == 0 {
		var have []string
		for _, other := range r.Platforms() {
			have = append(have, other.String())
		}
		return refuse(NoPlatform, "", "it has nothing for "+p.String()+"; it has programs for "+cmp.Or(strings.Join(have, ", "), "no platform"))
	}
	if _, ok := files[program]; !ok {
		return refuse(NoProgram, "", "it has no program "+quoteName(program)+" for "+p.String())
	}
	return nil
}
