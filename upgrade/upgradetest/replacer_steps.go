package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

func (x Target) prepare(ctx context.Context, program string) error {
	if _, err := x.Replacer.Prepare(ctx, x.Release(program)); err != nil {
		return fmt.Errorf("preparing %q: %w", program, err)
	}
	return nil
}

func (x Target) upgrade(ctx context.Context, program string) error {
	if err := x.prepare(ctx, program); err != nil {
		return err
	}
	if err := x.Replacer.Commit(ctx); err != nil {
		return fmt.Errorf("commit of %q: %w", program, err)
	}
	return nil
}

// goBack puts the previous program in place as a turn does.
func (x Target) goBack(ctx context.Context) error {
	if _, err := x.Replacer.PrepareBack(ctx); err != nil {
		return fmt.Errorf("preparing the way back: %w", err)
	}
	if err := x.Replacer.Commit(ctx); err != nil {
		return fmt.Errorf("commit of the way back: %w", err)
	}
	return nil
}

// is returns nil if program is installed.
func (x Target) is(program, after string) error {
	got, err := x.Installed()
	if err != nil {
		return fmt.Errorf("after %s: %w", after, err)
	}
	if got != program {
		return fmt.Errorf("after %s program %q is installed instead of %q", after, got, program)
	}
	return nil
}

// has returns nil if the installed program has the attributes want.
func (x Target) has(want, after string) error {
	got, err := x.Attributes()
	if err == nil && got != want {
		err = fmt.Errorf("after %s the program has %s instead of %s", after, got, want)
	}
	return err
}

// clean returns nil if nothing is left that should not be.
func (x Target) clean(after string) error {
	left, err := x.Left()
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("after %s there is left: %q", after, left)
	}
	return err
}

func absent(call string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("%s returned %v instead of fs.ErrNotExist", call, err)
}
