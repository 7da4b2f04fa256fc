package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// maxCounter is the largest integer that every JSON reader keeps exactly.
const maxCounter = 1 << 53

// parseManifest reads manifest.json: one object, with the keys of Manifest
// spelled exactly so, each at most once, and no other.
func parseManifest(b []byte) (Manifest, error) {
	var m Manifest
	bad := func(err error) (Manifest, error) {
		return Manifest{}, &Error{Reason: BadManifest, Name: ManifestName, Detail: "is not acceptable", Err: err}
	}
	if len(b) > maxManifest {
		return Manifest{}, refuse(TooLarge, ManifestName, fmt.Sprintf("has more than %d bytes", maxManifest))
	}
	if !utf8.Valid(b) {
		return bad(errors.New("it is not UTF-8"))
	}
	if err := checkKeys(b); err != nil {
		return bad(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return bad(err)
	}
	m.Created, m.Expires = m.Created.UTC(), m.Expires.UTC()
	if err := m.check(); err != nil {
		return bad(err)
	}
	return m, nil
}

// checkKeys is stricter than encoding/json, which takes the last of two equal
// keys, and "Product" for "product".
func checkKeys(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errors.New("it is not an object")
	}
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		switch key {
		case "product", "version", "counter", "created", "expires":
		default:
			return fmt.Errorf("unknown key %.80q", key)
		}
		if seen[key] {
			return fmt.Errorf("the key %q stands there twice", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if string(value) == "null" {
			return fmt.Errorf("the value of %q is null", key)
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

func (m Manifest) check() error {
	if err := checkWord("product", m.Product); err != nil {
		return err
	}
	if err := checkWord("version", m.Version); err != nil {
		return err
	}
	switch {
	case m.Counter > maxCounter:
		return fmt.Errorf("counter %d is larger than 2^53", m.Counter)
	case !m.Expires.IsZero() && !m.Created.IsZero() && !m.Expires.After(m.Created):
		return errors.New("it expires before it was created")
	}
	return nil
}

// checkWord keeps what is shown to operators and written to logs on one line.
func checkWord(what, s string) error {
	if s == "" {
		return fmt.Errorf("%s is missing", what)
	}
	if len(s) > 128 {
		return fmt.Errorf("%s has more than 128 bytes", what)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return fmt.Errorf("%s %q has a space or a character beyond ASCII", what, s)
		}
	}
	return nil
}

// formatManifest writes what parseManifest reads; the same for the same m.
func formatManifest(m Manifest) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, &Error{Reason: BadInput, Name: ManifestName, Detail: "cannot be made", Err: err}
	}
	m.Created, m.Expires = m.Created.UTC().Truncate(time.Second), m.Expires.UTC().Truncate(time.Second)
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, &Error{Reason: BadInput, Name: ManifestName, Detail: "cannot be made", Err: err}
	}
	return append(b, '\n'), nil
}
