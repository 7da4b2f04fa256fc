package archive_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/leaderlast/leaderlast/archive"
	"github.com/leaderlast/leaderlast/archive/archivetest"
)

func newKey(t testing.TB) archive.PrivateKey {
	t.Helper()
	k, err := archive.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A signedHead is a head that a test takes apart.
type signedHead struct {
	archive.Head
	policy archive.Policy
	key    archive.PrivateKey
}

func goodHead(t testing.TB) *signedHead {
	t.Helper()
	p := archivetest.Pack(t, archivetest.Spec{Platforms: []archive.Platform{linuxAMD64}, Files: map[string][]byte{"LICENSE": []byte("free")}})
	h, err := archive.ReadHead(bytes.NewReader(p.Bytes), int64(len(p.Bytes)))
	if err != nil {
		t.Fatal(err)
	}
	return &signedHead{h, p.Policy, p.Key}
}

// resign makes the head consistent again after a change of manifest or sums.
func (h *signedHead) resign(t testing.TB, sums string) {
	t.Helper()
	h.Sums = []byte(sums)
	h.Signatures = map[string][]byte{"sha256sums.minisig": signatureOf(t, h.key, h.Sums)}
}

func (h *signedHead) setManifest(t testing.TB, manifest string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(string(h.Sums)) {
		if strings.HasSuffix(line, "  manifest.json\n") {
			line = archive.DigestOf([]byte(manifest)).Hex() + "  manifest.json\n"
		}
		lines = append(lines, line)
	}
	h.Manifest, h.Sizes["manifest.json"] = []byte(manifest), int64(len(manifest))
	h.resign(t, strings.Join(lines, ""))
}

// foreign returns the key as the library of minisign has it.
func foreign(t testing.TB, k archive.PrivateKey) minisign.PrivateKey {
	t.Helper()
	text, err := k.Text("")
	if err != nil {
		t.Fatal(err)
	}
	var key minisign.PrivateKey
	if err := key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		t.Fatal(err)
	}
	return key
}

func signatureOf(t testing.TB, k archive.PrivateKey, b []byte) []byte {
	r := minisign.NewReader(bytes.NewReader(b))
	for p := make([]byte, 100); ; {
		if _, err := r.Read(p); err != nil {
			return r.SignWithComments(foreign(t, k), "a comment", "another")
		}
	}
}

func TestPolicy(t *testing.T) {
	now := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	manifest := func(extra string) string {
		return `{"product":"server","version":"1.0.0","counter":7` + extra + `}`
	}
	const minisig = "sha256sums.minisig"
	for _, c := range []struct {
		name   string
		change func(h *signedHead)
		reason string
	}{
		{"good", func(h *signedHead) {}, ""},
		// The policy.
		{"zero policy", func(h *signedHead) { h.policy = archive.Policy{} }, archive.BadPolicy},
		{"no keys", func(h *signedHead) { h.policy.Keys = nil }, archive.NoKeys},
		{"negative threshold", func(h *signedHead) { h.policy.Threshold = -1 }, archive.BadPolicy},
		{"negative threshold, unsigned", func(h *signedHead) { h.policy.Threshold, h.policy.AllowUnsigned = -1, true }, archive.BadPolicy},
		{"threshold above keys", func(h *signedHead) { h.policy.Threshold = 2 }, archive.BadPolicy},
		{"one key twice for two", func(h *signedHead) {
			h.policy.Threshold, h.policy.Keys = 2, append(h.policy.Keys, h.policy.Keys[0])
		}, archive.BadPolicy},
		{"zero key", func(h *signedHead) { h.policy.Keys = append(h.policy.Keys, archive.PublicKey{}) }, archive.BadPolicy},
		{"no product", func(h *signedHead) { h.policy.Product = "" }, archive.BadPolicy},
		{"no program", func(h *signedHead) { h.policy.Program = "" }, archive.BadPolicy},
		{"no platform", func(h *signedHead) { h.policy.Platforms = nil }, archive.BadPolicy},
		// Signatures.
		{"unsigned", func(h *signedHead) { h.Signatures = nil }, archive.Unsigned},
		{"unknown key", func(h *signedHead) { h.policy.Keys = []archive.PublicKey{newKey(t).Public()} }, archive.UnknownKey},
		{"forged", func(h *signedHead) { h.Signatures[minisig] = signatureOf(t, h.key, []byte("other")) }, archive.BadSignature},
		{"changed sums", func(h *signedHead) { h.Sums[0] ^= 1 }, archive.BadSignature},
		{"trusted comment changed", func(h *signedHead) {
			h.Signatures[minisig] = bytes.Replace(h.Signatures[minisig], []byte("trusted comment: server"), []byte("trusted comment: sErver"), 1)
		}, archive.BadSignature},
		{"legacy algorithm", func(h *signedHead) { h.Signatures[minisig] = minisign.Sign(foreign(t, h.key), h.Sums) }, archive.BadSignature},
		{"legacy algorithm of an unknown key", func(h *signedHead) { h.Signatures[minisig] = minisign.Sign(foreign(t, newKey(t)), h.Sums) }, archive.UnknownKey},
		// The signature of the hash, said to be one of the bytes themselves.
		{"hashed, said to be legacy", func(h *signedHead) {
			var s minisign.Signature
			if err := s.UnmarshalText(h.Signatures[minisig]); err != nil {
				t.Fatal(err)
			}
			s.Algorithm = minisign.EdDSA
			h.Signatures[minisig] = []byte(s.String())
		}, archive.BadSignature},
		{"not a signature", func(h *signedHead) { h.Signatures[minisig] = []byte("hello\n\n\n\n") }, archive.BadSignature},
		{"empty signature", func(h *signedHead) { h.Signatures[minisig] = nil }, archive.BadSignature},
		{"five lines", func(h *signedHead) { h.Signatures[minisig] = append(h.Signatures[minisig], '\n') }, archive.BadSignature},
		{"CRLF", func(h *signedHead) {
			h.Signatures[minisig] = bytes.ReplaceAll(h.Signatures[minisig], []byte("\n"), []byte("\r\n"))
		}, archive.BadSignature},
		{"large signature", func(h *signedHead) {
			h.Signatures[minisig] = bytes.Replace(h.Signatures[minisig], []byte("untrusted comment: "), []byte("untrusted comment: "+strings.Repeat("x", 5000)), 1)
		}, archive.BadSignature},
		{"name that is none", func(h *signedHead) { h.Signatures["sha256sums.x.minisig"] = h.Signatures[minisig] }, archive.BadSignature},
		{"under another key's name", func(h *signedHead) {
			h.Signatures["sha256sums."+newKey(t).ID()+".minisig"] = h.Signatures[minisig]
		}, archive.BadSignature},
		{"good and forged by a known key", func(h *signedHead) {
			k := newKey(t)
			h.policy.Keys = append(h.policy.Keys, k.Public())
			h.Signatures["sha256sums."+k.ID()+".minisig"] = signatureOf(t, k, []byte("other"))
		}, archive.BadSignature},
		{"good and by an unknown key", func(h *signedHead) {
			k := newKey(t)
			h.Signatures["sha256sums."+k.ID()+".minisig"] = signatureOf(t, k, h.Sums)
		}, ""},
		{"one of two", func(h *signedHead) {
			h.policy.Threshold, h.policy.Keys = 2, append(h.policy.Keys, newKey(t).Public())
		}, archive.ThresholdUnmet},
		{"one signing twice for two", func(h *signedHead) {
			h.policy.Threshold, h.policy.Keys = 2, append(h.policy.Keys, newKey(t).Public())
			h.Signatures["sha256sums."+h.key.ID()+".minisig"] = h.Signatures[minisig]
		}, archive.ThresholdUnmet},
		{"two of two", func(h *signedHead) {
			k := newKey(t)
			h.policy.Threshold, h.policy.Keys = 2, append(h.policy.Keys, k.Public())
			h.Signatures["sha256sums."+k.ID()+".minisig"] = signatureOf(t, k, h.Sums)
		}, ""},
		{"too many", func(h *signedHead) {
			for range 16 {
				h.Signatures["sha256sums."+newKey(t).ID()+".minisig"] = nil
			}
		}, archive.TooManyFiles},
		{"forged, unsigned allowed", func(h *signedHead) { h.policy.AllowUnsigned, h.Sums[0] = true, h.Sums[0]^1 }, archive.BadSignature},
		// Files.
		{"no sums", func(h *signedHead) { h.Sums = nil }, archive.NoSums},
		{"listed, missing", func(h *signedHead) { delete(h.Sizes, "LICENSE") }, archive.FileMissing},
		{"there, not listed", func(h *signedHead) { h.Sizes["extra"] = 1 }, archive.FileNotListed},
		{"negative size", func(h *signedHead) { h.Sizes["LICENSE"] = -1 }, archive.TooLarge},
		{"files too large", func(h *signedHead) { h.Sizes["LICENSE"] = 1 << 30 }, archive.TooLarge},
		{"sizes that overflow", func(h *signedHead) { h.Sizes["LICENSE"] = 1<<63 - 1 }, archive.TooLarge},
		{"archive too large", func(h *signedHead) { h.Size = 512<<20 + 1 }, archive.TooLarge},
		{"layout", func(h *signedHead) {
			h.Sizes["bin/tool"] = 1
			h.resign(t, string(h.Sums)+archive.DigestOf(nil).Hex()+"  bin/tool\n")
		}, archive.BadLayout},
		{"wrong platform", func(h *signedHead) { h.policy.Platforms[0].Arch = "s390x" }, archive.NoPlatform},
		{"second platform missing", func(h *signedHead) {
			h.policy.Platforms = append(h.policy.Platforms, archive.Platform{OS: "linux", Arch: "arm64"})
		}, archive.NoPlatform},
		{"variant served by the plain build", func(h *signedHead) { h.policy.Platforms[0].Variant = "musl" }, ""},
		{"no such program", func(h *signedHead) { h.policy.Program = "other" }, archive.NoProgram},
		// The manifest.
		{"manifest", func(h *signedHead) { h.setManifest(t, manifest("")) }, ""},
		{"manifest replaced", func(h *signedHead) { h.Manifest = []byte(manifest("")) }, archive.DigestMismatch},
		{"manifest replaced by one as long", func(h *signedHead) {
			h.Manifest = bytes.Replace(h.Manifest, []byte("1.0.0"), []byte("1.0.1"), 1)
		}, archive.DigestMismatch},
		{"manifest away", func(h *signedHead) { h.Manifest = nil }, archive.DigestMismatch},
		{"wrong product", func(h *signedHead) { h.policy.Product = "other" }, archive.WrongProduct},
		{"counter at the floor", func(h *signedHead) { h.policy.Floor = 1 }, ""},
		{"counter below the floor", func(h *signedHead) { h.policy.Floor = 2 }, archive.RolledBack},
		{"counter absurd", func(h *signedHead) {
			h.setManifest(t, `{"product":"server","version":"1","counter":9007199254740993}`)
		}, archive.BadManifest},
		{"expired", func(h *signedHead) { h.setManifest(t, manifest(`,"expires":"2030-05-01T12:00:00Z"`)) }, archive.Expired},
		{"not expired", func(h *signedHead) { h.setManifest(t, manifest(`,"expires":"2030-05-01T12:00:01Z"`)) }, ""},
		{"made in the future", func(h *signedHead) { h.setManifest(t, manifest(`,"created":"2030-05-03T00:00:00Z"`)) }, archive.NotYetValid},
		{"made by a clock ahead", func(h *signedHead) { h.setManifest(t, manifest(`,"created":"2030-05-02T00:00:00Z"`)) }, ""},
		{"expires before made", func(h *signedHead) {
			h.setManifest(t, manifest(`,"created":"2030-05-01T00:00:00Z","expires":"2030-04-01T00:00:00Z"`))
		}, archive.BadManifest},
		{"unknown key in manifest", func(h *signedHead) { h.setManifest(t, manifest(`,"extra":1`)) }, archive.BadManifest},
		{"key twice", func(h *signedHead) { h.setManifest(t, manifest(`,"counter":9`)) }, archive.BadManifest},
		{"key in another case", func(h *signedHead) { h.setManifest(t, manifest(`,"Counter":9`)) }, archive.BadManifest},
		{"null", func(h *signedHead) { h.setManifest(t, manifest(`,"created":null`)) }, archive.BadManifest},
		{"two objects", func(h *signedHead) { h.setManifest(t, manifest("")+"{}") }, archive.BadManifest},
		{"an array", func(h *signedHead) { h.setManifest(t, "[]") }, archive.BadManifest},
		{"cut off", func(h *signedHead) { h.setManifest(t, manifest("")[:20]) }, archive.BadManifest},
		{"not UTF-8", func(h *signedHead) { h.setManifest(t, "{\"product\":\"\xff\",\"version\":\"1\"}") }, archive.BadManifest},
		{"negative counter", func(h *signedHead) { h.setManifest(t, `{"product":"server","version":"1","counter":-1}`) }, archive.BadManifest},
		{"no version", func(h *signedHead) { h.setManifest(t, `{"product":"server"}`) }, archive.BadManifest},
		{"version that moves the cursor", func(h *signedHead) { h.setManifest(t, `{"product":"server","version":"1\u001b[2J"}`) }, archive.BadManifest},
		{"manifest too large", func(h *signedHead) { h.setManifest(t, manifest(strings.Repeat(" ", 64<<10))) }, archive.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := goodHead(t)
			h.policy.Now = now
			c.change(h)
			r, err := h.policy.CheckHead(h.Head)
			wantReason(t, err, c.reason)
			if err == nil && (r.Unsigned || !slices.Contains(r.SignedBy, h.key.ID()) || r.Sums != archive.DigestOf(h.Sums)) {
				t.Errorf("release %+v", r)
			}
		})
	}
}

func TestSums(t *testing.T) {
	hex := archive.DigestOf([]byte("free")).Hex()
	h := goodHead(t)
	good := string(h.Sums)
	for _, c := range []struct {
		name, sums, reason string
	}{
		{"good", good, ""},
		{"leading dot", strings.ReplaceAll(good, "  ", "  ./"), ""},
		{"binary mark", strings.ReplaceAll(good, "  ", " *"), ""},
		{"other order", reversedLines(good), ""},
		{"leading dot twice", strings.ReplaceAll(good, "  ", "  ././"), archive.BadSums},
		{"duplicate", good + hex + "  LICENSE\n", archive.BadSums},
		{"duplicate with dot", good + hex + "  ./LICENSE\n", archive.BadSums},
		{"duplicate but for case", good + hex + "  license\n", archive.BadSums},
		{"upper-case hex", strings.ToUpper(good), archive.BadSums},
		{"CRLF", strings.ReplaceAll(good, "\n", "\r\n"), archive.BadSums},
		{"escaped name", `\` + good, archive.BadSums},
		{"no final line feed", good[:len(good)-1], archive.BadSums},
		{"blank line", good + "\n", archive.BadSums},
		{"comment", "# sums\n" + good, archive.BadSums},
		{"BSD form", "SHA256 (LICENSE) = " + hex + "\n", archive.BadSums},
		{"one space", strings.ReplaceAll(good, "  ", " "), archive.BadSums},
		{"tab", strings.ReplaceAll(good, "  ", "\t\t"), archive.BadSums},
		{"parent", good + hex + "  ../x\n", archive.BadSums},
		{"itself", good + hex + "  sha256sums\n", archive.BadSums},
		{"its signature", good + hex + "  sha256sums.minisig\n", archive.BadSums},
		{"100 KiB", strings.Repeat(good, 100<<10/len(good)), archive.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.resign(t, c.sums)
			_, err := h.policy.CheckHead(h.Head)
			wantReason(t, err, c.reason)
		})
	}
}

func reversedLines(s string) string {
	lines := slices.Collect(strings.Lines(s))
	slices.Reverse(lines)
	return strings.Join(lines, "")
}

// AllowUnsigned accepts what lacks signatures or a manifest, and says so.
func TestAllowUnsigned(t *testing.T) {
	h := goodHead(t)
	h.policy.AllowUnsigned = true
	r, err := h.policy.CheckHead(h.Head)
	if err != nil || r.Unsigned || len(r.SignedBy) != 1 {
		t.Errorf("a signed one: %+v, %v", r, err)
	}
	h.policy.Keys = append(h.policy.Keys, newKey(t).Public())
	h.policy.Threshold = 2
	r, err = h.policy.CheckHead(h.Head)
	if err != nil || !r.Unsigned || len(r.SignedBy) != 1 {
		t.Errorf("signed by too few: %+v, %v", r, err)
	}
	h.Signatures, h.policy.Keys, h.policy.Threshold = nil, nil, 0
	r, err = h.policy.CheckHead(h.Head)
	if err != nil || !r.Unsigned || len(r.SignedBy) != 0 || r.Manifest.Version != "1.0.0" {
		t.Errorf("unsigned: %+v, %v", r, err)
	}
	var sums []string
	for line := range strings.Lines(string(h.Sums)) {
		if !strings.Contains(line, "manifest.json") {
			sums = append(sums, line)
		}
	}
	h.Sums, h.Manifest = []byte(strings.Join(sums, "")), nil
	delete(h.Sizes, "manifest.json")
	r, err = h.policy.CheckHead(h.Head)
	if err != nil || r.Manifest != (archive.Manifest{Product: "server"}) {
		t.Errorf("no manifest: %+v, %v", r, err)
	}
	h.policy.Floor = 1
	_, err = h.policy.CheckHead(h.Head)
	wantReason(t, err, archive.RolledBack)
	h.policy.Floor = 0
	h.resign(t, string(h.Sums))
	h.policy.Keys, h.policy.AllowUnsigned = []archive.PublicKey{h.key.Public()}, false
	_, err = h.policy.CheckHead(h.Head)
	wantReason(t, err, archive.NoManifest)
}

// A Head goes over the wire before the archive does.
func TestHeadJSON(t *testing.T) {
	h := goodHead(t)
	b, err := json.Marshal(h.Head)
	if err != nil {
		t.Fatal(err)
	}
	var back archive.Head
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if _, err := h.policy.CheckHead(back); err != nil {
		t.Error(err)
	}
	if want := []string{"LICENSE", program, "manifest.json"}; !slices.Equal(slices.Sorted(maps.Keys(back.Sizes)), want) {
		t.Errorf("sizes %v", back.Sizes)
	}
}

func TestReleaseFor(t *testing.T) {
	musl := archive.Platform{OS: "linux", Arch: "amd64", Variant: "musl"}
	p := archivetest.Release(t, archivetest.Spec{Platforms: []archive.Platform{linuxAMD64, musl}, Files: map[string][]byte{
		"bin/linux/amd64/client": []byte("plain client"), "README": []byte("plain client"),
	}})
	r := p.Release()
	names := func(p archive.Platform) (names []string) {
		for base, f := range r.For(p) {
			names = append(names, base+" "+f.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := names(linuxAMD64); !slices.Equal(got, []string{"client bin/linux/amd64/client", "server bin/linux/amd64/server"}) {
		t.Errorf("plain: %q", got)
	}
	if got := names(musl); !slices.Equal(got, []string{"client bin/linux/amd64/client", "server bin/linux/amd64/musl/server"}) {
		t.Errorf("variant: %q", got)
	}
	if got := names(archive.Platform{}); got != nil {
		t.Errorf("no platform: %q", got)
	}
	if got := r.Platforms(); !slices.Equal(got, []archive.Platform{linuxAMD64, musl}) {
		t.Errorf("platforms %v", got)
	}
	// README and client have the same content: archive, sums, manifest, three files.
	if got := r.Blobs(); len(got) != 6 {
		t.Errorf("blobs %q", got)
	}
	for _, d := range r.Blobs() {
		reader, _, err := p.Store.Open(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		reader.Close()
	}
}
