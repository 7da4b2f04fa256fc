package archive

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of a Policy that sets none.
const (
	DefaultMaxSize     = 512 << 20
	DefaultMaxUnpacked = 1 << 30
)

// clockSkew is how far in the future a release may have been made before that
// is taken for a wrong clock.
const clockSkew = 24 * time.Hour

// A Policy says which archives are accepted. The zero Policy accepts none.
type Policy struct {
	Product       string      // the manifest must name it
	Program       string      // base name of the server: bin/<platform>/<Program> must be there
	Platforms     []Platform  // each must be served, by its variant or the plain build
	Keys          []PublicKey // that may sign
	Threshold     int         // distinct keys that must have signed; 1 if zero, negative is refused
	AllowUnsigned bool        // accept archives that no key signed, also ones without manifest.json
	Floor         uint64      // counters below it are refused; 0 refuses none
	MaxSize       int64       // bytes of the archive; 512 MiB if zero
	MaxUnpacked   int64       // bytes of all files; 1 GiB if zero
	Now           time.Time   // for expiry; time.Now() if zero
}

// complete fills in what is left open, and refuses a policy that could accept
// more than its author meant.
func (p Policy) complete() (Policy, error) {
	bad := func(detail string) (Policy, error) {
		return Policy{}, refuse(BadPolicy, "", "the policy "+detail)
	}
	switch {
	case p.Threshold < 0:
		return bad(fmt.Sprintf("has the threshold %d", p.Threshold))
	case p.Product == "":
		return bad("names no product")
	case p.Program == "" || strings.Contains(p.Program, "/"):
		return bad("names no program by its base name")
	case len(p.Platforms) == 0:
		return bad("names no platform")
	case p.MaxSize < 0 || p.MaxUnpacked < 0:
		return bad("has a negative limit")
	case len(p.Keys) == 0 && !p.AllowUnsigned:
		return Policy{}, refuse(NoKeys, "", "no key is configured that could have signed it")
	}
	seen := make(map[string]PublicKey)
	for _, k := range p.Keys {
		if other, ok := seen[k.id]; k.IsZero() || ok && other != k {
			return bad("has an empty key, or two keys with one id")
		}
		seen[k.id] = k
	}
	p.Threshold = max(p.Threshold, 1)
	if p.Threshold > len(seen) && !p.AllowUnsigned {
		return bad(fmt.Sprintf("wants %d keys, but has %d", p.Threshold, len(seen)))
	}
	if p.MaxSize == 0 {
		p.MaxSize = DefaultMaxSize
	}
	if p.MaxUnpacked == 0 {
		p.MaxUnpacked = DefaultMaxUnpacked
	}
	if p.Now.IsZero() {
		p.Now = time.Now()
	}
	return p, nil
}

func (p Policy) checkSize(size int64) error {
	if size < 0 || size > p.MaxSize {
		return refuse(TooLarge, "", fmt.Sprintf("it has %d bytes, more than the %d allowed", size, p.MaxSize))
	}
	return nil
}

// CheckHead applies p to h: signature, manifest, counter, expiry, platforms and
// declared sizes. Nothing is believed of h but what p says; h may come from
// anywhere. A refusal is an *Error.
func (p Policy) CheckHead(h Head) (Release, error) {
	p, err := p.complete()
	if err != nil {
		return Release{}, err
	}
	if err := p.checkSize(h.Size); err != nil {
		return Release{}, err
	}
	if len(h.Sums) == 0 {
		return Release{}, refuse(NoSums, "", "there is no "+SumsName+", or it is empty")
	}
	if len(h.Sums) > maxSums {
		return Release{}, refuse(TooLarge, SumsName, fmt.Sprintf("has more than %d bytes", maxSums))
	}
	r := Release{Sums: DigestOf(h.Sums), Size: h.Size}
	if r.SignedBy, r.Unsigned, err = p.checkSigned(h); err != nil {
		return Release{}, err
	}
	sums, err := parseSums(h.Sums)
	if err != nil {
		return Release{}, err
	}
	if r.Files, r.Unpacked, err = p.files(sums, h.Sizes); err != nil {
		return Release{}, err
	}
	if r.Manifest, err = p.manifest(sums, h); err != nil {
		return Release{}, err
	}
	for _, platform := range p.Platforms {
		if err := r.serves(platform, p.Program); err != nil {
			return Release{}, err
		}
	}
	return r, nil
}

func (p Policy) checkSigned(h Head) (signed []string, unsigned bool, err error) {
	if len(h.Signatures) > maxSignatures {
		return nil, false, refuse(TooManyFiles, "", fmt.Sprintf("there are more than %d signatures", maxSignatures))
	}
	signed, unknown, err := verifySignatures(h.Sums, h.Signatures, p.Keys)
	switch {
	case err != nil:
		return nil, false, err
	case len(signed) >= p.Threshold:
		return signed, false, nil
	case p.AllowUnsigned:
		// Refusing it would protect nobody: the signatures can be taken away.
		return signed, true, nil
	case len(h.Signatures) == 0:
		return nil, false, refuse(Unsigned, "", "nobody has signed it")
	case len(signed) == 0:
		return nil, false, refuse(UnknownKey, "", "it is signed by "+strings.Join(unknown, ", ")+", which is not trusted here; trusted: "+p.keyIDs())
	}
	return nil, false, refuse(ThresholdUnmet, "", fmt.Sprintf("%d trusted keys have signed it (%s), %d have to", len(signed), strings.Join(signed, ", "), p.Threshold))
}

func (p Policy) keyIDs() string {
	var ids []string
	for _, k := range p.Keys {
		ids = append(ids, k.id)
	}
	return strings.Join(ids, ", ")
}

// files joins what is listed with what is there.
func (p Policy) files(sums []sum, sizes map[string]int64) (files []File, unpacked int64, err error) {
	for _, s := range sums {
		size, ok := sizes[s.name]
		if !ok {
			return nil, 0, refuse(FileMissing, s.name, "is listed in "+SumsName+", but not in the archive")
		}
		if size < 0 || size > p.MaxUnpacked-unpacked {
			return nil, 0, refuse(TooLarge, s.name, fmt.Sprintf("with this file of %d bytes more than the %d allowed would be unpacked", size, p.MaxUnpacked))
		}
		unpacked += size
		platform, err := platformOf(s.name)
		if err != nil {
			return nil, 0, err
		}
		files = append(files, File{Name: s.name, Digest: s.digest, Size: size, Platform: platform})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if len(sizes) == len(files) {
		return files, unpacked, nil
	}
	var missing []string
	for name := range sizes {
		if !slices.ContainsFunc(files, func(f File) bool { return f.Name == name }) {
			missing = append(missing, name)
		}
	}
	return nil, 0, refuse(FileNotListed, slices.Min(missing), "is in the archive, but not listed in "+SumsName)
}

func (p Policy) manifest(sums []sum, h Head) (Manifest, error) {
	i := slices.IndexFunc(sums, func(s sum) bool { return s.name == ManifestName })
	if i < 0 {
		if !p.AllowUnsigned {
			return Manifest{}, refuse(NoManifest, "", "there is no "+ManifestName)
		}
		return p.admit(Manifest{Product: p.Product})
	}
	if DigestOf(h.Manifest) != sums[i].digest || h.Sizes[ManifestName] != int64(len(h.Manifest)) {
		return Manifest{}, &Error{Reason: DigestMismatch, Name: ManifestName, Detail: "is not what " + SumsName + " says", Err: ErrDigest}
	}
	m, err := parseManifest(h.Manifest)
	if err != nil {
		return Manifest{}, err
	}
	return p.admit(m)
}

func (p Policy) admit(m Manifest) (Manifest, error) {
	switch {
	case m.Product != p.Product:
		return m, refuse(WrongProduct, "", fmt.Sprintf("it is a release of %q, not of %q", m.Product, p.Product))
	case m.Counter < p.Floor:
		return m, refuse(RolledBack, "", fmt.Sprintf("its counter is %d; here releases below %d are not accepted any more", m.Counter, p.Floor))
	case !m.Expires.IsZero() && !p.Now.Before(m.Expires):
		return m, refuse(Expired, "", "it expired on "+m.Expires.Format(time.RFC3339)+"; it is "+p.Now.UTC().Format(time.RFC3339)+" here")
	case m.Created.After(p.Now.Add(clockSkew)):
		return m, refuse(NotYetValid, "", "it was made on "+m.Created.Format(time.RFC3339)+"; it is "+p.Now.UTC().Format(time.RFC3339)+" here")
	}
	return m, nil
}
