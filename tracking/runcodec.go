package tracking

import (
	"bytes"
	"encoding/json"
	"slices"
)

// A RunCodec decodes values of KeyRun one after the other, and encodes the next,
// as DecodeRun and Run.Encode do. Each value holds the newest lines of the
// transcript, most of which the one before held as well: a RunCodec reads and
// writes those once. The zero value is ready. It is not safe for concurrent use.
type RunCodec struct {
	raw   []byte // the lines of the last value, as they stood there
	ends  []int  // of each line in raw
	lines []Line
}

// logField begins the transcript, which comes last where nothing of a newer
// release is kept. Within a string of JSON its quotes would be escaped.
var logField = []byte(`,"log":[`)

// cutLog returns the value of KeyRun in data without its transcript, and the
// elements of that; false if the transcript does not come last.
func cutLog(data []byte) (run, lines []byte, found bool) {
	head, lines, found := bytes.Cut(data, logField)
	lines, ended := bytes.CutSuffix(lines, []byte("]}"))
	if !found || !ended {
		return nil, nil, false
	}
	return slices.Concat(head, []byte{'}'}), lines, true
}

// Decode is DecodeRun.
func (c *RunCodec) Decode(data []byte) (Run, error) {
	head, raw, found := cutLog(data)
	if !found {
		*c = RunCodec{}
		return DecodeRun(data)
	}
	r, err := DecodeRun(head)
	if err == nil && r.Extra == "" && c.read(raw) {
		r.Log = slices.Clone(c.lines)
		return r, nil
	}
	*c = RunCodec{}
	return DecodeRun(data)
}

// read makes raw, the elements of a list of lines, what c remembers.
func (c *RunCodec) read(raw []byte) bool {
	for dropped := range c.ends {
		from := 0
		if dropped > 0 {
			from = c.ends[dropped-1] + 1
		}
		kept := c.raw[from:]
		if !bytes.HasPrefix(raw, kept) || len(raw) > len(kept) && raw[len(kept)] != ',' {
			continue
		}
		next := RunCodec{lines: slices.Clone(c.lines[dropped:])}
		for _, e := range c.ends[dropped:] {
			next.ends = append(next.ends, e-from)
		}
		if len(raw) > len(kept) && !next.add(raw[len(kept)+1:], len(kept)+1) {
			return false
		}
		next.raw = bytes.Clone(raw)
		*c = next
		return true
	}
	next := RunCodec{raw: bytes.Clone(raw)}
	ok := next.add(raw, 0)
	*c = next
	return ok
}

// add decodes the lines in raw, which stands at offset at.
func (c *RunCodec) add(raw []byte, at int) bool {
	for more := true; more; {
		n := objectEnd(raw)
		var l Line
		if n < 0 || l.UnmarshalJSON(raw[:n]) != nil {
			return false
		}
		c.lines = append(c.lines, l)
		c.ends = append(c.ends, at+n)
		if more = n < len(raw); more {
			if raw[n] != ',' { // or a space, which nobody writes here
				return false
			}
			raw, at = raw[n+1:], at+n+1
		}
	}
	return true
}

// Encode is r.Encode.
func (c *RunCodec) Encode(r Run) ([]byte, error) {
	if r.Extra != "" || len(r.Log) == 0 {
		return r.Encode()
	}
	log := r.Log
	r.Log = nil
	data, err := r.Encode()
	if err != nil {
		return nil, err
	}
	data = append(slices.Grow(data[:len(data)-1], len(c.raw)+2*maxText), logField...)
	for i, l := range log {
		if i > 0 {
			data = append(data, ',')
		}
		text := c.text(l)
		if text == nil {
			if text, err = json.Marshal(l); err != nil {
				return nil, err
			}
		}
		data = append(data, text...)
	}
	return append(data, "]}"...), nil
}

// text is how l stood in the last value that was decoded; nil if it did not.
func (c *RunCodec) text(l Line) []byte {
	i, found := slices.BinarySearchFunc(c.lines, l.Seq, func(l Line, seq int) int { return l.Seq - seq })
	if !found || c.lines[i] != l {
		return nil
	}
	from := 0
	if i > 0 {
		from = c.ends[i-1] + 1
	}
	return c.raw[from:c.ends[i]]
}
