package trackingtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/leaderlast/leaderlast/tracking"
)

// emptyClauses is what stands in for deleting.
func emptyClauses() []clause {
	return []clause{
		{"emptied", "An emptied key loads as an empty value, with a revision.", emptied},
		{"emptied is not absent", "An emptied key has a revision: it cannot be swapped from \"\".", emptiedNotAbsent},
		{"emptying counts on", "No revision is ever issued twice for a key, across emptying.", emptyingCountsOn},
	}
}

func emptied(ctx context.Context, p pair) error {
	first, err := swap(ctx, p.a, "k", "", "full")
	if err != nil {
		return err
	}
	rev, err := p.a.Swap(ctx, "k", first, nil)
	if err != nil {
		return fmt.Errorf("Swap to nil: %w", err)
	}
	if rev == "" || rev == first {
		return fmt.Errorf("emptying revision %q gave revision %q", first, rev)
	}
	return p.both(func(s, _ tracking.Store) error { return holds(ctx, s, "k", rev, "") })
}

func emptiedNotAbsent(ctx context.Context, p pair) error {
	revs, err := swaps(ctx, p.a, "k", "", "full", "")
	if err != nil {
		return err
	}
	if err := conflicts(ctx, p.b, "k", ""); err != nil {
		return err
	}
	_, err = swap(ctx, p.b, "k", revs[1], "full again")
	return err
}

func emptyingCountsOn(ctx context.Context, p pair) error {
	revs, err := swaps(ctx, p.a, "k", "", "A", "B", "", "A", "B", "", "A")
	if err != nil {
		return err
	}
	seen := map[tracking.Revision]int{}
	for i, rev := range revs {
		if before, found := seen[rev]; found {
			return fmt.Errorf("swap %d got revision %q, as swap %d did before the key was emptied", i+1, rev, before+1)
		}
		seen[rev] = i
	}
	for _, rev := range revs[:len(revs)-1] {
		if err := conflicts(ctx, p.b, "k", rev); err != nil {
			return fmt.Errorf("a revision from before emptying: %w", err)
		}
	}
	return nil
}

// valueClauses is about the keys and the bytes.
func valueClauses() []clause {
	return []clause{
		{"any bytes", "A value is bytes of any kind.", anyBytes},
		{"largest value", "Every Store takes values of MaxValue bytes.", largestValue},
		{"too large", "A larger value is refused with fs.ErrInvalid and changes nothing.", tooLarge},
		{"keys accepted", "A key is one to MaxKey bytes of [A-Za-z0-9._/-], compared byte by byte.", keysAccepted},
		{"keys refused", "Any other key is refused with fs.ErrInvalid.", keysRefused},
		{"loaded slice", "The caller owns the slice that Load returns.", loadedSlice},
		{"swapped slice", "The Store does not keep the slice that Swap is given.", swappedSlice},
	}
}

func anyBytes(ctx context.Context, p pair) error {
	all := make([]byte, 0, 512)
	for c := range 256 {
		all = append(all, byte(255-c), byte(c))
	}
	rev, err := swap(ctx, p.a, "k", "", string(all))
	if err != nil {
		return err
	}
	return holds(ctx, p.b, "k", rev, string(all))
}

func largestValue(ctx context.Context, p pair) error {
	value := strings.Repeat("0123456789abcde\n", tracking.MaxValue/16)
	rev, err := swap(ctx, p.a, "k", "", value)
	if err != nil {
		return err
	}
	return holds(ctx, p.b, "k", rev, value)
}

func tooLarge(ctx context.Context, p pair) error {
	rev, err := swap(ctx, p.a, "k", "", "small")
	if err != nil {
		return err
	}
	if _, err := p.a.Swap(ctx, "k", rev, make([]byte, tracking.MaxValue+1)); !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("Swap to %d bytes = %v, want fs.ErrInvalid", tracking.MaxValue+1, err)
	}
	return holds(ctx, p.a, "k", rev, "small")
}

func keysAccepted(ctx context.Context, p pair) error {
	keys := []string{
		"plan", "Plan", "PLAN", "member/m1", "member-m1", "member.m1", "member_m1", "member", "member/", "/member", "member//m1",
		".", "..", "../plan", "./plan", "-", "_", "/", "0", "azAZ09._/-", strings.Repeat("k", tracking.MaxKey), strings.Repeat("k", tracking.MaxKey-1),
	}
	revs := make([]tracking.Revision, len(keys))
	for i, key := range keys {
		var err error
		if revs[i], err = swap(ctx, p.a, key, "", "value of "+key); err != nil {
			return err
		}
	}
	for i, key := range keys {
		if err := holds(ctx, p.b, key, revs[i], "value of "+key); err != nil {
			return err
		}
	}
	return nil
}

func keysRefused(ctx context.Context, p pair) error {
	for _, key := range []string{"", strings.Repeat("k", tracking.MaxKey+1), "a b", "a\x00", "a\n", "é", "\xff", "a:b", `a\b`, "a*", "a%2f"} {
		if _, err := p.a.Swap(ctx, key, "", []byte("v")); !errors.Is(err, fs.ErrInvalid) {
			return fmt.Errorf("Swap(%q) = %v, want fs.ErrInvalid", key, err)
		}
		if _, _, err := p.b.Load(ctx, key); !errors.Is(err, fs.ErrInvalid) {
			return fmt.Errorf("Load(%q) = %v, want fs.ErrInvalid", key, err)
		}
	}
	return nil
}

func loadedSlice(ctx context.Context, p pair) error {
	rev, err := swap(ctx, p.a, "k", "", "value")
	if err != nil {
		return err
	}
	v, _, err := p.a.Load(ctx, "k")
	if err != nil {
		return err
	}
	for i := range v {
		v[i] = '!'
	}
	_ = append(v, '!')
	return p.both(func(s, _ tracking.Store) error { return holds(ctx, s, "k", rev, "value") })
}

func swappedSlice(ctx context.Context, p pair) error {
	value := []byte("value")
	rev, err := p.a.Swap(ctx, "k", "", value)
	if err != nil {
		return err
	}
	for i := range value {
		value[i] = '!'
	}
	return p.both(func(s, _ tracking.Store) error { return holds(ctx, s, "k", rev, "value") })
}
