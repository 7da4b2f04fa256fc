package archive

import "time"

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
