package tracking

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// ErrFormat is returned, possibly wrapped, for a value that a newer release
// wrote. It must be left alone.
var ErrFormat = errors.New("written by a newer release")

// extra holds the fields of a value that this release does not know, so that a
// rewrite keeps them: old and new programs share the record.
type extra map[string]json.RawMessage

// decode reads data into v, a pointer to a struct, and returns the fields that
// the struct does not have.
func decode(data []byte, v any) (extra, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("tracking: damaged value: %w", err)
	}
	if head.Format > Format {
		return nil, fmt.Errorf("tracking: format %d, this program knows up to %d: %w", head.Format, Format, ErrFormat)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("tracking: damaged value: %w", err)
	}
	var all extra
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("tracking: damaged value: %w", err)
	}
	t := reflect.TypeOf(v).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		delete(all, name)
	}
	if len(all) == 0 {
		all = nil
	}
	return all, nil
}

func encode(v any, x extra) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || len(x) == 0 {
		return data, err
	}
	all := extra{}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for k, raw := range x {
		if _, known := all[k]; !known {
			all[k] = raw
		}
	}
	return json.Marshal(all)
}

// DecodeRun reads the value of KeyRun; an empty value is the zero Run.
func DecodeRun(data []byte) (Run, error) {
	var r Run
	if len(data) == 0 {
		return r, nil
	}
	x, err := decode(data, &r)
	r.extra = x
	return r, err
}

// Encode returns r as the value of KeyRun.
func (r Run) Encode() ([]byte, error) { r.Format = Format; return encode(r, r.extra) }

// DecodePlan reads the value of KeyPlan; an empty value is the zero Plan.
func DecodePlan(data []byte) (Plan, error) {
	var p Plan
	if len(data) == 0 {
		return p, nil
	}
	x, err := decode(data, &p)
	p.extra = x
	return p, err
}

// Encode returns p as the value of KeyPlan.
func (p Plan) Encode() ([]byte, error) { p.Format = Format; return encode(p, p.extra) }

// DecodeReport reads the value of a member's key; an empty value is the zero
// Report.
func DecodeReport(data []byte) (Report, error) {
	var r Report
	if len(data) == 0 {
		return r, nil
	}
	x, err := decode(data, &r)
	r.extra = x
	return r, err
}

// Encode returns r as the value of a member's key.
func (r Report) Encode() ([]byte, error) { r.Format = Format; return encode(r, r.extra) }
