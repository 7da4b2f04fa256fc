package tracking

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A RunCodec says what DecodeRun and Encode say, of every value in a row.
func TestRunCodec(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	r := Run{ID: "R", Status: Working, Archive: Archive{Version: "2"}, Turns: []Turn{{Member: "m1", State: Claimed}}}
	var c RunCodec
	check := func(data []byte) Run {
		t.Helper()
		gist, gistErr := DecodeGist(data)
		got, err := c.Decode(data)
		want, err2 := DecodeRun(data)
		if gistErr != nil || gist.ID != want.ID || gist.Status != want.Status || !gist.Names("m1") || gist.Names("m2") {
			t.Fatalf("DecodeGist: %v, %+v of %+v", gistErr, gist, want)
		}
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (err2 == nil) {
			t.Fatalf("%v, %v\n%s", err, err2, diff)
		}
		return got
	}
	for i := range 3 * maxLog {
		for range i % 6 { // none to five at a time
			r.Add(at, "m1", "member.claimed", fmt.Sprintf("line \"%d\", \"log\":[{ and },{ and ]}", i))
		}
		if i%50 == 49 {
			r.Log = nil // another run
		}
		want, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Encode(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("Encode: %v\n got %s\nwant %s", err, got, want)
		}
		r = check(got)
	}
	data, _ := r.Encode()
	for name, odd := range map[string][]byte{
		"spaces":       bytes.ReplaceAll(data, []byte("},{"), []byte("} , {")),
		"a new field":  bytes.Replace(data, []byte(`{"format"`), []byte(`{"novel":{"log":[1]},"format"`), 1),
		"one in front": bytes.Replace(data, []byte(`"log":[`), []byte(`"log":[{"seq":1,"at":"2026-01-02T03:04:05Z","type":"x","text":"y","novel":1},`), 1),
		"cut short":    data[:len(data)-9],
		"a new format": bytes.Replace(data, []byte(`"format":1`), []byte(`"format":99`), 1),
		"null":         []byte("null"),
		"nothing":      nil,
		"log first":    []byte(`{"log":[{"seq":1,"at":"2026-01-02T03:04:05Z","type":"x","text":"y"}],"format":1}`),
		"twice":        append(bytes.Clone(data[:len(data)-1]), []byte(`,"log":[]}`)...),
		"log of null":  []byte(`{"format":1,"log":[null]}`),
		"no objects":   []byte(`{"format":1,"log":[1,2]}`),
	} {
		t.Run(name, func(t *testing.T) {
			c.Decode(data)
			got, err := c.Decode(odd)
			want, err2 := DecodeRun(odd)
			if g, err := DecodeGist(odd); err == nil && err2 == nil && (g.ID != want.ID || g.Status != want.Status || len(g.Turns) != len(want.Turns)) {
				t.Errorf("DecodeGist: %+v of %+v", g, want)
			} else if errors.Is(err2, ErrFormat) && !errors.Is(err, ErrFormat) {
				t.Errorf("DecodeGist: %v of a newer release", err)
			}
			if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (err2 == nil) {
				t.Errorf("%v, want %v\n%s", err, err2, diff)
			}
			again, err := c.Decode(data)
			if diff := cmp.Diff(r, again); diff != "" || err != nil {
				t.Errorf("afterwards: %v\n%s", err, diff)
			}
		})
	}
}

func BenchmarkRunCodec(b *testing.B) {
	r := Run{ID: "R", Status: Working}
	for range maxLog {
		r.Add(time.Now(), "m123", "member.prepared", "prepared 1.0.0 -> 1.1.0")
	}
	before, _ := r.Encode()
	r.Add(time.Now(), "m123", "member.restarting", "restarting into 1.1.0")
	after, _ := r.Encode()
	var c RunCodec
	c.Decode(before)
	warm := c
	r, _ = c.Decode(after)
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			c = warm
			c.Decode(after)
		}
	})
	b.Run("decode/alone", func(b *testing.B) {
		for b.Loop() {
			DecodeRun(after)
		}
	})
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			warm.Encode(r)
		}
	})
	b.Run("encode/alone", func(b *testing.B) {
		for b.Loop() {
			r.Encode()
		}
	})
}
