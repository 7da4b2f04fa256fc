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
// data to it at its start. Before it opens them, at its first start on trial, it
// keeps a copy of them for the version that ran before (copy.go).

// errUnreadable is wrapped by the error for data that this version cannot read.
var errUnreadable = errors.New("they are not whole, or of another version")

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
	if err != nil {
		return 0, err
	}
	h := struct {
		Format int `json:"format"`
	}{1}
	if err := json.Unmarshal(line, &h); err != nil {
		return 0, fmt.Errorf("%w: the first line: %w", errUnreadable, err)
	}
	return h.Format, nil
}

func (s *server) dataPath() string { return filepath.Join(s.dir, "kv.log") }

// openData opens the data. On trial it keeps a copy of them first; put back, it
// sees to it that they are such that it can read them; newer than they are, it
// brings them to its own format.
func (s *server) openData(ctx context.Context, started *upgrade.Started) (err error) {
	if s.format, err = strconv.Atoi(format); err != nil {
		return fmt.Errorf("this version was linked with the format %q: %w", format, err)
	}
	s.onTrial = started.UpgradedFrom != ""
	if started.PutBackFrom != "" {
		s.log.Warn("this version is back", "in_place_of", started.PutBackFrom, "which", started.PutBackWhy)
		if err := s.putBack(); err != nil {
			return err
		}
	}
	there, err := formatOf(s.dataPath())
	older := 0 < there && there < s.format
	switch {
	case err != nil:
		// There is nothing that could be copied.
	case older && s.noWayBack:
		// Before the data change: from here on the version before is not put back.
		if err = started.NoWayBack(ctx); err == nil {
			err = s.removeCopies("")
		}
	case s.onTrial && !s.noWayBack:
		err = s.keepCopy(started.UpgradedFrom)
	}
	if err == nil && older {
		err = s.migrate(there)
	}
	if err == nil {
		s.store, err = openStore(s.dataPath(), s.format)
	}
	switch {
	case err != nil:
		return s.unreadable(err, s.onTrial)
	case !s.onTrial && started.Stuck == "":
		s.accepted() // the last process may have come to its end before it did
	}
	return nil
}

// migrate brings the data to the format of this version, so that a crash leaves
// the old ones or the new ones whole.
func (s *server) migrate(from int) error {
	old, err := openStore(s.dataPath(), from)
	if err != nil {
		return err
	}
	defer old.close()
	s.log.Info("brings the data to a newer format", "from", from, "to", s.format)
	return (&store{path: s.dataPath(), format: s.format, data: old.data}).compact()
}

// unreadable is err, which kept the data from being opened, with what to do.
func (s *server) unreadable(err error, onTrial bool) error {
	err = fmt.Errorf("in %s: %w", s.dir, err)
	if !errors.Is(err, errUnreadable) || onTrial { // that one is put back
		return err
	}
	if c := s.copyPath(version); exists(c) {
		return fmt.Errorf("%w; a copy of them as %s left them is %s: move it to %s, and start the server again; what was written since is lost then", err, version, c, s.dataPath())
	}
	return fmt.Errorf("%w; put a backup in their place, or start the version that wrote them", err)
}

// release lets go of what two servers cannot have at once: for the next program,
// which is started beside this one.
func (s *server) release(ctx context.Context) error {
	if err := errors.Join(s.stop(ctx), s.record.Close()); err != nil {
		return errors.Join(err, s.reacquire(ctx))
	}
	return nil
}

// reacquire takes back what release let go of: the next program came to nothing.
func (s *server) reacquire(context.Context) error {
	if err := s.record.Reopen(); err != nil { // nobody else has the data then
		return err
	}
	if err := s.putBack(); err != nil {
		return err
	}
	if err := s.store.reopen(); err != nil {
		return s.unreadable(err, false)
	}
	return nil
}
