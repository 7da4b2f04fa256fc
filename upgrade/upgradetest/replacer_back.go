package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/leaderlast/leaderlast/archive"
)

// backClauses are about the way back on purpose, and giving it up.
var backClauses = []clause{
	{"WentBack", "PrepareBack and Commit put the previous program in place", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		if err := x.goBack(ctx); err != nil {
			return err
		}
		return x.is("one", "PrepareBack and Commit")
	}},
	{"PrepareBackChangesNothing", "PrepareBack does everything but the rename", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		if _, err := x.Replacer.PrepareBack(ctx); err != nil {
			return err
		}
		return x.is("two", "PrepareBack")
	}},
	{"PreparedBackIsTrue", "Prepared names the digest of the previous program, and where it lies", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		p, err := x.Replacer.PrepareBack(ctx)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p.Path)
		if err == nil && archive.DigestOf(b) != p.Program {
			err = fmt.Errorf("Prepared.Program is %s, and %s has %s", p.Program, p.Path, archive.DigestOf(b))
		}
		return err
	}},
	{"PrepareBackNothing", "if no previous program is kept the error of PrepareBack wraps fs.ErrNotExist", func(ctx context.Context, x Target) error {
		_, err := x.Replacer.PrepareBack(ctx)
		return absent("PrepareBack", err)
	}},
	{"ForwardAgain", "what Commit displaces on the way back becomes the previous program", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		for range 2 {
			if err := x.goBack(ctx); err != nil {
				return err
			}
		}
		return x.is("two", "going back, and back from there")
	}},
	{"PrepareBackKeepsPrevious", "until it has been displaced the previous program that was kept stays", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		for range 2 {
			if _, err := x.Replacer.PrepareBack(ctx); err != nil {
				return fmt.Errorf("PrepareBack: %w", err)
			}
			if err := x.Replacer.Discard(ctx); err != nil {
				return err
			}
		}
		return nil
	}},
	{"DiscardBackLeavesNothing", "Discard forgets what PrepareBack made", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		before, err := x.Left()
		if err != nil {
			return err
		}
		if _, err := x.Replacer.PrepareBack(ctx); err != nil {
			return err
		}
		if err := x.Replacer.Discard(ctx); err != nil {
			return err
		}
		left, err := x.Left()
		if err == nil && len(left) > len(before) {
			err = fmt.Errorf("after PrepareBack and Discard there is left: %q", left)
		}
		return err
	}},
	{"BackKeepsAttributes", "the previous program is put in place as it was", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		before, err := x.Attributes()
		if err != nil {
			return err
		}
		if err := x.goBack(ctx); err != nil {
			return err
		}
		return x.has(before, "PrepareBack and Commit")
	}},
	{"LaterProcessCommitsBack", "Commit may follow a PrepareBack of an earlier process", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		if _, err := x.Again().PrepareBack(ctx); err != nil {
			return err
		}
		if err := x.Again().Commit(ctx); err != nil {
			return err
		}
		return x.is("one", "PrepareBack, and Commit by a later process")
	}},
	{"Forgotten", "Forget removes the previous program", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		if err := x.Replacer.Forget(ctx); err != nil {
			return err
		}
		return absent("Restore after Forget", x.Replacer.Restore(ctx))
	}},
	{"ForgetChangesNothing", "Forget leaves the program that is installed", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		if err := x.Replacer.Forget(ctx); err != nil {
			return err
		}
		return x.is("two", "Forget")
	}},
	{"ForgetNothing", "it is no error of Forget if no previous program is kept", func(ctx context.Context, x Target) error {
		return x.Replacer.Forget(ctx)
	}},
	{"ForgetInFlight", "while something is prepared Forget is refused with an error that wraps fs.ErrExist, and nothing is removed", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		if err := x.prepare(ctx, "three"); err != nil {
			return err
		}
		if err := x.Replacer.Forget(ctx); !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("Forget while something is prepared returned %v instead of fs.ErrExist", err)
		}
		return x.Replacer.Restore(ctx)
	}},
}
