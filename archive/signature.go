package archive

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"aead.dev/minisign"
)

// isSignatureName reports whether name is sha256sums.minisig or
// sha256sums.<KEY ID>.minisig.
func isSignatureName(name string) bool {
	_, ok := signatureNameID(name)
	return ok
}

// signatureNameID returns the key id in the name of a signature, "" if it has
// none.
func signatureNameID(name string) (id string, ok bool) {
	s, ok := strings.CutPrefix(name, SumsName)
	if !ok {
		return "", false
	}
	if s, ok = strings.CutSuffix(s, signatureSuffix); !ok {
		return "", false
	}
	if s == "" {
		return "", true
	}
	id, ok = strings.CutPrefix(s, ".")
	if !ok || len(id) != 16 || strings.Trim(id, "0123456789ABCDEF") != "" {
		return "", false
	}
	return id, true
}

func signatureName(id string) string { return SumsName + "." + id + signatureSuffix }

// parseSignature reads the four lines of a minisign signature. Whether its
// algorithm is acceptable is judged later: first comes whose it is.
func parseSignature(name string, b []byte) (minisign.Signature, error) {
	var s minisign.Signature
	bad := func(detail string, err error) (minisign.Signature, error) {
		return s, &Error{Reason: BadSignature, Name: name, Detail: detail, Err: err}
	}
	switch {
	case len(b) > maxSignature:
		return bad(fmt.Sprintf("has more than %d bytes", maxSignature), nil)
	case bytes.Count(b, []byte{'\n'}) != 4 || b[len(b)-1] != '\n' || bytes.IndexByte(b, '\r') >= 0:
		return bad("is not the four lines of a minisign signature", nil)
	}
	if err := s.UnmarshalText(b); err != nil {
		return bad("is not a minisign signature", err)
	}
	if id, _ := signatureNameID(name); id != "" && id != formatKeyID(s.KeyID) {
		return bad("is by the key "+formatKeyID(s.KeyID)+", not by that of its name", nil)
	}
	return s, nil
}

// verifySignatures returns the ids, sorted, of the keys that have signed sums,
// and of those in signatures that are not among keys. A signature in the name of
// a known key that this key did not make is an error, however many others are
// good.
func verifySignatures(sums []byte, signatures map[string][]byte, keys []PublicKey) (signed, unknown []string, err error) {
	by, strangers := make(map[string]bool), make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(signatures)) {
		if !isSignatureName(name) {
			return nil, nil, refuse(BadSignature, name, "is not the name of a signature")
		}
		b := signatures[name]
		s, err := parseSignature(name, b)
		if err != nil {
			return nil, nil, err
		}
		id := formatKeyID(s.KeyID)
		i := slices.IndexFunc(keys, func(k PublicKey) bool { return k.id == id })
		if i < 0 {
			strangers[id] = true
			continue
		}
		// The older algorithm signs the bytes themselves. A library that hashes
		// first and does not look could take a signature of 64 bytes for one of
		// a hash; so only one of the two is ever accepted.
		if s.Algorithm != minisign.HashEdDSA {
			return nil, nil, refuse(BadSignature, name, "is of the legacy algorithm; sign with minisign 0.10 or newer, or with the sign command")
		}
		key, err := keys[i].key()
		if err != nil {
			return nil, nil, &Error{Reason: BadPolicy, Detail: "a configured key is damaged", Err: err}
		}
		if !prehashed(sums).Verify(key, b) {
			return nil, nil, refuse(BadSignature, name, "was not made by the key "+id+" over this "+SumsName)
		}
		by[id] = true
	}
	return slices.Sorted(maps.Keys(by)), slices.Sorted(maps.Keys(strangers)), nil
}

// prehashed returns a Reader that has read b, which is what minisign signs.
func prehashed(b []byte) *minisign.Reader {
	r := minisign.NewReader(bytes.NewReader(b))
	var p [4 << 10]byte
	for {
		if _, err := r.Read(p[:]); err != nil {
			return r
		}
	}
}

// sign returns the signature file of sums.
func (k PrivateKey) sign(sums []byte, comment string) []byte {
	return prehashed(sums).SignWithComments(k.key, comment, "signature by the key "+k.ID())
}

// Signers returns the ids of the keys that the signatures in h claim to be by,
// sorted. It verifies nothing.
func (h Head) Signers() []string {
	ids := []string{}
	for _, text := range h.Signatures {
		var sig minisign.Signature
		if sig.UnmarshalText(text) == nil {
			ids = append(ids, formatKeyID(sig.KeyID))
		}
	}
	slices.Sort(ids)
	return ids
}
