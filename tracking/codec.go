package tracking

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// ErrFormat is returned, possibly wrapped, for a value that a newer release
// wrote. It must be left alone: not acted on, and not written over.
var ErrFormat = errors.New("written by a newer release")

// ErrDamaged is returned, possibly wrapped, for stored bytes that no release
// wrote: cut short, changed by a failing disk or edited by hand. They are never
// taken for an empty value, because that would forget an upgrade under way.
var ErrDamaged = errors.New("damaged")

// Extra holds the fields of a JSON object that this release does not know, as a
// JSON object of their own; "" if there are none. Old and new programs share
// the record in the middle of an upgrade, so that what one of them adds must
// survive being rewritten by the other. Every object of the record keeps its
// own, at every depth: a Turn that is changed keeps them, a Turn that is made
// anew has none, and they go away with the Turn. What a newer release adds to a
// list of plain values is such a value, and kept as one.
type Extra string

// decode reads the JSON object in data into v, a pointer to a zero struct, and
// returns the fields that the struct does not have. Names are compared exactly;
// package json alone would take "Status" for "status" too.
func decode(data []byte, v any) (Extra, error) {
	s := reflect.ValueOf(v).Elem()
	if len(data) > 0 && data[0] == '{' && hasOnly(data, s.Type()) {
		// By far the most: nothing of a newer release, and no need to read twice.
		err := json.Unmarshal(data, v)
		tidyLists(s)
		return "", err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return "", err
	}
	if all == nil {
		return "", errors.New("null in place of an object")
	}
	for i := range s.NumField() {
		name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		raw, found := all[name]
		if name == "-" || !found {
			continue
		}
		delete(all, name)
		f := s.Field(i)
		if err := json.Unmarshal(raw, f.Addr().Interface()); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	tidyLists(s)
	if len(all) == 0 {
		return "", nil
	}
	data, err := json.Marshal(all)
	return Extra(data), err
}

// encode returns v, a struct without methods, as a JSON object with the fields
// of x added. The fields of v win.
func encode(v any, x Extra) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || x == "" {
		return data, err
	}
	var all, known map[string]json.RawMessage
	if err := json.Unmarshal([]byte(x), &all); err != nil {
		return nil, fmt.Errorf("extra fields: %w", err)
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, err
	}
	s := reflect.TypeOf(v)
	for i := range s.NumField() {
		// One that is left out because it is empty stays out.
		if name, _, _ := strings.Cut(s.Field(i).Tag.Get("json"), ","); name != "-" {
			delete(all, name)
		}
	}
	for name, raw := range known {
		all[name] = raw
	}
	return json.Marshal(all)
}

// ours is how every value begins that this release writes.
var ours = fmt.Appendf(nil, `{"format":%d,`, Format)

// checkFormat returns the format of a stored value, and an error if this
// release must not or cannot read it.
func checkFormat(data []byte) (int, error) {
	if bytes.HasPrefix(data, ours) && bytes.Count(data, []byte(`"format":`)) == 1 {
		return Format, nil // by far the most; whether it is JSON is found out when it is decoded
	}
	var head struct {
		Format json.RawMessage `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	var format int
	exact := bytes.Contains(data, []byte(`"format"`)) // package json would take "Format" as well
	if err := json.Unmarshal(head.Format, &format); err != nil || format < 1 || !exact {
		return 0, fmt.Errorf("%w: it has no format", ErrDamaged)
	}
	if format > Format {
		return format, fmt.Errorf("format %d, this program knows up to %d: %w", format, Format, ErrFormat)
	}
	return format, nil
}

// damaged wraps an error of decode, which has read the whole of a value.
func damaged(key string, err error) error {
	return fmt.Errorf("tracking: decode %s: %w: %w", key, ErrDamaged, err)
}

// mayEncode refuses to write a value that was read from a newer release.
func mayEncode(key string, format int) error {
	if format > Format {
		return fmt.Errorf("tracking: encode %s: format %d, this program writes %d: %w", key, format, Format, ErrFormat)
	}
	return nil
}

// DecodeRun reads the value of KeyRun; an empty value is the zero Run. The
// error wraps ErrFormat or ErrDamaged; the Run is then zero but for the Format
// of a newer release, so that Encode refuses to write over it.
func DecodeRun(data []byte) (Run, error) {
	if len(data) == 0 {
		return Run{}, nil
	}
	format, err := checkFormat(data)
	if err != nil {
		return Run{Format: format}, fmt.Errorf("tracking: decode %s: %w", KeyRun, err)
	}
	var r Run
	if r.Extra, err = decode(data, &r); err != nil {
		return Run{}, damaged(KeyRun, err)
	}
	return r, nil
}

// Encode returns r as the value of KeyRun, in the layout Format. The error
// wraps ErrFormat if r was read from a newer release.
func (r Run) Encode() ([]byte, error) {
	if err := mayEncode(KeyRun, r.Format); err != nil {
		return nil, err
	}
	r.Format = Format
	return encode(r, r.Extra)
}

// DecodePlan reads the value of KeyPlan, on the terms of DecodeRun.
func DecodePlan(data []byte) (Plan, error) {
	if len(data) == 0 {
		return Plan{}, nil
	}
	format, err := checkFormat(data)
	if err != nil {
		return Plan{Format: format}, fmt.Errorf("tracking: decode %s: %w", KeyPlan, err)
	}
	var p Plan
	if p.Extra, err = decode(data, &p); err != nil {
		return Plan{}, damaged(KeyPlan, err)
	}
	return p, nil
}

// Encode returns p as the value of KeyPlan, on the terms of Run.Encode.
func (p Plan) Encode() ([]byte, error) {
	if err := mayEncode(KeyPlan, p.Format); err != nil {
		return nil, err
	}
	p.Format = Format
	if p.Members == nil {
		p.Members = []string{}
	}
	return encode(p, p.Extra)
}

// DecodeReport reads the value of a member's key, on the terms of DecodeRun.
func DecodeReport(data []byte) (Report, error) {
	if len(data) == 0 {
		return Report{}, nil
	}
	format, err := checkFormat(data)
	if err != nil {
		return Report{Format: format}, fmt.Errorf("tracking: decode %s: %w", KeyMember, err)
	}
	var r Report
	if r.Extra, err = decode(data, &r); err != nil {
		return Report{}, damaged(KeyMember, err)
	}
	return r, nil
}

// Encode returns r as the value of a member's key, on the terms of Run.Encode.
func (r Report) Encode() ([]byte, error) {
	if err := mayEncode(KeyMember, r.Format); err != nil {
		return nil, err
	}
	r.Format = Format
	if r.Formats == nil {
		r.Formats = []int{}
	}
	return encode(r, r.Extra)
}
