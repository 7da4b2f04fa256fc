package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"

	"github.com/leaderlast/leaderlast/archive"
)

var clauses = slices.Concat(swapClauses, backClauses)

var swapClauses = []clause{
	{"Replaced", "Commit puts what was prepared in place", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		return x.is("two", "Commit")
	}},
	{"PrepareChangesNothing", "Prepare does everything but the rename", func(ctx context.Context, x Target) error {
		if err := x.prepare(ctx, "two"); err != nil {
			return err
		}
		return x.is("one", "Prepare")
	}},
	{"PreparedIsTrue", "Prepared names the digest of the new program, and where it lies: an executable file", func(ctx context.Context, x Target) error {
		p, err := x.Replacer.Prepare(ctx, x.Release("two"))
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p.Path)
		if err != nil {
			return fmt.Errorf("Prepared.Path: %w", err)
		}
		if d := archive.DigestOf(b); d != p.Program {
			return fmt.Errorf("Prepared.Program is %s, and %s has %s", p.Program, p.Path, d)
		}
		if info, err := os.Stat(p.Path); err != nil || runtime.GOOS != "windows" && info.Mode()&0o100 == 0 {
			return fmt.Errorf("%s is not executable: %w", p.Path, errors.Join(err, fs.ErrPermission))
		}
		return nil
	}},
	{"CommitNothing", "if nothing is prepared the error of Commit wraps fs.ErrNotExist", func(ctx context.Context, x Target) error {
		return absent("Commit", x.Replacer.Commit(ctx))
	}},
	{"CommitOnce", "after Commit nothing is prepared", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		return absent("second Commit", x.Replacer.Commit(ctx))
	}},
	{"DamagedIsRefused", "Prepare compares the program it makes", func(ctx context.Context, x Target) error {
		if _, err := x.Replacer.Prepare(ctx, x.Damaged("two")); err == nil {
			return errors.New("a program that cannot be read was prepared")
		}
		return nil
	}},
	{"FailedPrepareInstallsNothing", "the path always holds the old program or the new one, complete", func(ctx context.Context, x Target) error {
		_, _ = x.Replacer.Prepare(ctx, x.Damaged("two"))
		return x.is("one", "a Prepare that failed")
	}},
	{"FailedPrepareLeavesNothing", "when Prepare fails, nothing of what it made is left", func(ctx context.Context, x Target) error {
		if _, err := x.Replacer.Prepare(ctx, x.Damaged("two")); err == nil {
			return nil // another clause's
		}
		return x.clean("a Prepare that failed")
	}},
	{"ZeroRelease", "nothing but a checked release is installed", func(ctx context.Context, x Target) error {
		if _, err := x.Replacer.Prepare(ctx, archive.Verified{}); err == nil {
			return errors.New("the zero Verified was prepared")
		}
		return nil
	}},
	{"Cancelled", "Prepare ends when its context does", func(ctx context.Context, x Target) error {
		done, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := x.Replacer.Prepare(done, x.Release("two")); !errors.Is(err, context.Canceled) {
			return fmt.Errorf("preparing with a cancelled context: %v", err)
		}
		return nil
	}},
	{"PrepareAgain", "Prepare may be repeated, with the same release or another", func(ctx context.Context, x Target) error {
		for _, program := range []string{"two", "two", "three"} {
			if err := x.prepare(ctx, program); err != nil {
				return err
			}
		}
		if err := x.Replacer.Commit(ctx); err != nil {
			return err
		}
		return x.is("three", "the last of three Prepares")
	}},
	{"DiscardForgets", "Discard forgets what Prepare made", func(ctx context.Context, x Target) error {
		if err := x.prepare(ctx, "two"); err != nil {
			return err
		}
		if err := x.Replacer.Discard(ctx); err != nil {
			return err
		}
		return absent("Commit after Discard", x.Replacer.Commit(ctx))
	}},
	{"DiscardNothing", "it is no error if nothing is prepared", func(ctx context.Context, x Target) error {
		return x.Replacer.Discard(ctx)
	}},
	{"DiscardKeepsPrevious", "the previous program that was kept before stays", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		if err := x.prepare(ctx, "three"); err != nil {
			return err
		}
		if err := x.Replacer.Discard(ctx); err != nil {
			return err
		}
		if err := x.Replacer.Restore(ctx); err != nil {
			return err
		}
		return x.is("one", "Discard and Restore")
	}},
	{"Restored", "Restore puts the previous program back: the one displaced last", func(ctx context.Context, x Target) error {
		for _, program := range []string{"two", "three"} {
			if err := x.upgrade(ctx, program); err != nil {
				return err
			}
		}
		if err := x.Replacer.Restore(ctx); err != nil {
			return err
		}
		return x.is("two", "Restore")
	}},
	{"RestoreNothing", "if no previous program is kept the error wraps fs.ErrNotExist", func(ctx context.Context, x Target) error {
		return absent("Restore", x.Replacer.Restore(ctx))
	}},
	{"RestoreTwice", "Restore can be repeated", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		for range 2 {
			if err := x.Replacer.Restore(ctx); err != nil {
				return err
			}
		}
		return x.is("one", "two Restores")
	}},
	{"ReplacedByItself", "replacing a program by itself keeps what was kept before", func(ctx context.Context, x Target) error {
		for _, program := range []string{"two", "two"} {
			if err := x.upgrade(ctx, program); err != nil {
				return err
			}
		}
		if err := x.Replacer.Restore(ctx); err != nil {
			return err
		}
		return x.is("one", "Restore")
	}},
	{"LaterProcessCommits", "Commit may follow a Prepare of an earlier process", func(ctx context.Context, x Target) error {
		if err := x.prepare(ctx, "two"); err != nil {
			return err
		}
		if err := x.Again().Commit(ctx); err != nil {
			return err
		}
		return x.is("two", "Commit by a later process")
	}},
	{"LaterProcessDiscards", "Discard may follow a Prepare of an earlier process", func(ctx context.Context, x Target) error {
		if err := x.prepare(ctx, "two"); err != nil {
			return err
		}
		if err := x.Again().Discard(ctx); err != nil {
			return err
		}
		return x.clean("Discard by a later process")
	}},
	{"LaterProcessRestores", "Restore may follow a Commit of an earlier process", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		if err := x.Again().Restore(ctx); err != nil {
			return err
		}
		return x.is("one", "Restore by a later process")
	}},
	{"KeepsAttributes", "the new program has mode, owner and capabilities of the one before", func(ctx context.Context, x Target) error {
		before, err := x.Attributes()
		if err != nil {
			return err
		}
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		return x.has(before, "Commit")
	}},
	{"RestoresAttributes", "the previous program comes back as it was", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		before, err := x.Attributes()
		if err != nil {
			return err
		}
		if err := x.Replacer.Restore(ctx); err != nil {
			return err
		}
		return x.has(before, "Restore")
	}},
	{"CommitLeavesNothing", "after Commit only the program and the previous one are there", func(ctx context.Context, x Target) error {
		if err := x.upgrade(ctx, "two"); err != nil {
			return err
		}
		return x.clean("Commit")
	}},
	{"NeverAbsent", "at every instant the path holds the old program or the new one, complete", neverAbsent},
}

// swaps is how often the program is replaced while it is watched. The watcher
// has looked at least once in each.
const swaps = 20

func neverAbsent(ctx context.Context, x Target) error {
	looked := make(chan struct{})
	stop := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		var failed error
		for {
			if _, err := x.Installed(); err != nil && failed == nil {
				failed = err
			}
			select {
			case looked <- struct{}{}:
			case <-stop:
				result <- failed
				return
			default:
			}
		}
	}()
	var err error
	for i := 0; i < swaps && err == nil; i++ {
		<-looked
		if err = x.upgrade(ctx, []string{"two", "three"}[i%2]); err == nil && i%5 == 4 {
			err = x.Replacer.Restore(ctx)
		}
	}
	close(stop)
	if seen := <-result; err == nil && seen != nil {
		err = fmt.Errorf("while it was replaced the program was not there: %w", seen)
	}
	return err
}
