package tracking

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"unicode/utf8"
)

// fileFormat is the layout of the file itself, apart from that of the values.
const fileFormat = 1

// A document is what a File holds.
type document struct {
	Counter uint64           // of swaps, all keys together
	Keys    map[string]entry // never changed in place
}

type entry struct {
	rev   uint64 // Counter after the swap that made it
	value []byte
}

// The file, as JSON. The sum is over the exact bytes of store, so that a disk
// that gives back something else is found out; a file edited by hand is too.
type fileJSON struct {
	Format int             `json:"format"`
	Sum    string          `json:"sum"` // SHA-256, hexadecimal
	Store  json.RawMessage `json:"store"`
}

type storeJSON struct {
	Counter uint64               `json:"counter"`
	Keys    map[string]entryJSON `json:"keys"`
}

// entryJSON carries text as text, so that people can read the file.
type entryJSON struct {
	Rev  uint64  `json:"rev"`
	Text *string `json:"text,omitempty"`
	Data []byte  `json:"data,omitempty"` // what is not UTF-8
}

func (d document) encode() ([]byte, error) {
	store := storeJSON{Counter: d.Counter, Keys: make(map[string]entryJSON, len(d.Keys))}
	for key, e := range d.Keys {
		j := entryJSON{Rev: e.rev}
		if utf8.Valid(e.value) {
			text := string(e.value)
			j.Text = &text
		} else {
			j.Data = e.value
		}
		store.Keys[key] = j
	}
	raw, err := json.Marshal(store)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(fileJSON{Format: fileFormat, Sum: sum(raw), Store: raw})
	return append(data, '\n'), err
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

func decodeDocument(data []byte) (document, error) {
	var file fileJSON
	if err := json.Unmarshal(data, &file); err != nil {
		return document{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if file.Format > fileFormat {
		return document{}, fmt.Errorf("file format %d, this program knows up to %d: %w; start the newer program", file.Format, fileFormat, ErrFormat)
	}
	if file.Format < 1 || file.Sum != sum(file.Store) {
		return document{}, fmt.Errorf("%w: its content does not match its checksum", ErrDamaged)
	}
	var store storeJSON
	if err := json.Unmarshal(file.Store, &store); err != nil {
		return document{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	d := document{Counter: store.Counter, Keys: make(map[string]entry, len(store.Keys))}
	for key, j := range store.Keys {
		e := entry{rev: j.Rev, value: j.Data}
		if j.Text != nil {
			e.value = []byte(*j.Text)
		}
		if e.rev < 1 || e.rev > d.Counter || e.value == nil || Check(key, e.value) != nil {
			return document{}, fmt.Errorf("%w: key %q makes no sense", ErrDamaged, key)
		}
		d.Keys[key] = e
	}
	return d, nil
}

// readDocument reads the file at path. That there is none is an empty document;
// that there is an empty one is damage.
func readDocument(path string) (document, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return document{}, nil
	}
	if err != nil {
		return document{}, err
	}
	d, err := decodeDocument(data)
	if errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w; if no upgrade is under way, move the file away and start again: it says how far one has come, and nothing else", err)
	}
	return d, err
}

func (d document) equal(other document) bool {
	return d.Counter == other.Counter && maps.EqualFunc(d.Keys, other.Keys, func(a, b entry) bool {
		return a.rev == b.rev && bytes.Equal(a.value, b.value)
	})
}
