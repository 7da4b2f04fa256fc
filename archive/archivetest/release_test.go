package archivetest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

func TestRelease(t *testing.T) {
	linux := archive.Platform{OS: "linux", Arch: "arm64"}
	mac := archive.Platform{OS: "darwin", Arch: "amd64", Variant: "old"}
	for _, spec := range []Spec{
		{},
		{Unsigned: true, Format: archive.TarGzip},
		{Stored: true, Platforms: []archive.Platform{linux, mac}, Files: map[string][]byte{"LICENSE": []byte("free")}},
	} {
		p := Release(t, spec)
		if p.IsZero() || p.Release().Archive != p.Digest || p.Release().Unsigned != spec.Unsigned {
			t.Errorf("%+v: release %+v", spec, p.Release())
		}
		if !spec.Unsigned && !slices.Equal(p.Release().SignedBy, []string{p.Key.ID()}) {
			t.Errorf("signed by %v", p.Release().SignedBy)
		}
		for _, platform := range p.Policy.Platforms {
			f := p.Release().For(platform)["server"]
			r, _, err := p.Open(t.Context(), f.Name)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			r.Close()
			if err != nil || !bytes.Equal(b, Program(platform, "server 1.0.0")) {
				t.Errorf("%s: %q, %v", f.Name, b, err)
			}
		}
	}
}

func TestFaulty(t *testing.T) {
	fail := errors.New("failed on request")
	ctx := t.Context()
	b := blob("faulty", 1000)
	d := archive.DigestOf(b)

	f := NewFaulty(&Memory{}, Fault{Op: Put, Nth: 2, Err: fail}, Fault{Op: Put, Nth: 3, Err: fail, Done: true})
	for i, want := range []error{nil, fail, fail, nil} {
		if _, err := f.Put(ctx, d, bytes.NewReader(b)); !errors.Is(err, want) {
			t.Errorf("Put %d: %v", i+1, err)
		}
	}
	if n := f.Calls(Put); n != 4 {
		t.Errorf("%d calls", n)
	}

	m := &Memory{}
	f = NewFaulty(m, Fault{Op: Put, Err: fail, After: 10})
	r := bytes.NewReader(b)
	if _, err := f.Put(ctx, d, r); !errors.Is(err, fail) || r.Len() != len(b)-10 {
		t.Errorf("Put: %v, %d bytes left", err, r.Len())
	}
	if _, _, err := m.Open(ctx, d); err == nil {
		t.Error("the Put was made")
	}
	f = NewFaulty(m, Fault{Op: Put, Err: fail, Done: true})
	if _, err := f.Put(ctx, d, bytes.NewReader(b)); !errors.Is(err, fail) {
		t.Errorf("Put: %v", err)
	}
	if err := has(ctx, m, b); err != nil {
		t.Errorf("after a lost answer: %v", err)
	}

	f = NewFaulty(m, Fault{Op: Open, Nth: 1, Err: fail}, Fault{Op: Read, Nth: 1, Err: fail, After: 600},
		Fault{Op: Delete, Nth: 1, Err: fail}, Fault{Op: Delete, Nth: 2, Err: fail, Done: true}, Fault{Op: List, Nth: 1, Err: fail})
	if _, _, err := f.Open(ctx, d); !errors.Is(err, fail) {
		t.Errorf("Open: %v", err)
	}
	opened, _, err := f.Open(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(opened); !errors.Is(err, fail) || len(got) != 600 {
		t.Errorf("Read: %d bytes, %v", len(got), err)
	}
	if err := has(ctx, f, b); err != nil {
		t.Errorf("the second reader: %v", err)
	}
	if _, err := list(ctx, f); !errors.Is(err, fail) {
		t.Errorf("List: %v", err)
	}
	if err := f.Delete(ctx, d); !errors.Is(err, fail) {
		t.Errorf("Delete: %v", err)
	}
	if err := has(ctx, m, b); err != nil {
		t.Errorf("a failed Delete deletes: %v", err)
	}
	if err := f.Delete(ctx, d); !errors.Is(err, fail) {
		t.Errorf("Delete: %v", err)
	}
	if err := hasNothing(ctx, f, d); err != nil {
		t.Errorf("a Delete whose answer is lost: %v", err)
	}
}

func TestFaultyPasses(t *testing.T) {
	TestStore(t, func(*testing.T) archive.Store { return NewFaulty(&Memory{}) })
}
