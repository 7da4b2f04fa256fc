package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/leaderlast/leaderlast/upgrade"
)

// The data change with the versions. Format 1 is lines alone; from 2 on the first
// line says which format follows. A version reads its own format, and brings older
// data to it at its start. What it found it keeps as a copy for the version that
// ran before: should that one be put back, it finds its data as it left them.

// header is the first line of the data in a format.
func header(format int) string {
	if format == 1 {
		return ""
	}
	return fmt.Sprintf("{\"format\":%d}\n", format)
}

// formatOf is the format of the data at path; 0 if there are none.
func formatOf(path string) (int, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return 1, nil // nothing whole in it
	}
	h := struct {
		Format int `json:"format"`
	}{1}
	if err == nil {
		err = json.Unmarshal(line, &h)
	}
	return h.Format, err
}

func (s *server) dataPath() string { return filepath.Join(s.dir, "kv.log") }

// copyPath is where the data lie as a version before this one left them.
func (s *server) copyPath(version string) string { return s.dataPath() + "." + version }

// openData opens the data: as they were, if this program was put back in place of
// one that changed them; brought to its own format, if it is newer.
func (s *server) openData(ctx context.Context, started *upgrade.Started) error {
	if started.PutBackFrom != "" {
		s.log.Warn("this version is back", "in_place_of", started.PutBackFrom, "which", started.PutBackWhy)
		if err := s.restoreCopy(); err != nil {
			return err
		}
	}
	mine, err := strconv.Atoi(format)
	if err != nil {
		return fmt.Errorf("this version was linked with the format %q: %w", format, err)
	}
	there, err := formatOf(s.dataPath())
	if err == nil && 0 < there && there < mine {
		err = s.migrate(ctx, started, there, mine)
	}
	if err != nil {
		return fmt.Errorf("read the data in %s: %w", s.dataPath(), err)
	}
	s.store, err = openStore(s.dataPath(), mine)
	return err
}

// migrate brings the data to a newer format, so that a crash leaves the old ones
// or the new ones whole.
func (s *server) migrate(ctx context.Context, started *upgrade.Started, from, to int) error {
	if err := s.committed(ctx); err != nil { // copies for versions that nobody goes back to
		return err
	}
	switch {
	case s.noWayBack:
		// Before the data change: from here on the version before is not put back.
		if err := started.NoWayBack(ctx); err != nil {
			return err
		}
	case started.UpgradedFrom != "":
		// The data get a new file: the old one stays as it is, by another name.
		if err := os.Link(s.dataPath(), s.copyPath(started.UpgradedFrom)); err != nil {
			return err
		}
	}
	old, err := openStore(s.dataPath(), from)
	if err != nil {
		return err
	}
	defer old.close()
	s.log.Info("brings the data to a newer format", "from", from, "to", to)
	return (&store{path: s.dataPath(), format: to, data: old.data}).compact()
}

// restoreCopy brings back the data as this version left them, if a newer one
// changed them. What was written since goes with that one.
func (s *server) restoreCopy() error {
	err := os.Rename(s.copyPath(version), s.dataPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // they are as this version reads them
	}
	if err == nil {
		s.log.Warn("the data are back as this version left them")
	}
	return err
}

// readable says why the version from before could not read the data: it has a
// copy of its own, because they have changed since. A rollback is refused then.
func (s *server) readable(_ context.Context, version string) error {
	_, err := os.Stat(s.copyPath(version))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("they are of format %s by now, and what was written since its copy %s would be lost", format, s.copyPath(version))
	}
	return err
}

// committed removes the copies: nobody goes back to the versions that need them.
func (s *server) committed(context.Context) error {
	copies, err := filepath.Glob(s.copyPath("*"))
	for _, path := range copies {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// release lets go of what two servers cannot have at once: for the next program,
// which is started beside this one.
func (s *server) release(ctx context.Context) error {
	if err := errors.Join(s.store.close(), s.record.Close()); err != nil {
		return errors.Join(err, s.reacquire(ctx))
	}
	return nil
}

// reacquire takes back what release let go of: the next program came to nothing.
func (s *server) reacquire(context.Context) error {
	if err := s.record.Reopen(); err != nil { // nobody else has the data then
		return err
	}
	if err := s.restoreCopy(); err != nil {
		return err
	}
	return s.store.reopen()
}
