package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/leaderlast/leaderlast/examples/internal/web"
)

// A store keeps keys and values in memory and in a file, to which every change
// is appended before it is answered.
type store struct {
	path   string
	format int // of the file

	mu   sync.RWMutex
	data map[string]string
	file *os.File
}

// change is one line of the file; a nil Value deletes.
type change struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
}

// openStore reads the file at path, which is of that format, or creates it. A
// last line that a crash cut short was never answered, and is dropped.
func openStore(path string, format int) (*store, error) {
	there, err := formatOf(path)
	if err == nil && there != format && there != 0 {
		err = fmt.Errorf("%w: they are of format %d, and this version reads format %d", errUnreadable, there, format)
	}
	s := &store{path: path, format: format, data: map[string]string{}}
	if err == nil && there == 0 && format > 1 {
		err = s.compact() // nothing, in that format
	}
	if err != nil {
		return nil, fmt.Errorf("open the data in %s: %w", filepath.Base(path), err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the data: %w", err)
	}
	s.file = f
	good, lines, err := s.replay()
	if err == nil && lines > 1000 && lines > 2*len(s.data) {
		f.Close()
		if err := s.compact(); err != nil {
			return nil, fmt.Errorf("compact the data in %s: %w", filepath.Base(path), err)
		}
		return openStore(path, format)
	}
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read the data in %s: %w", filepath.Base(path), err)
	}
	return s, nil
}

// replay applies every whole line, and returns where the last one ends.
func (s *store) replay() (good int64, lines int, err error) {
	r := bufio.NewReader(s.file)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return good, lines, nil
		}
		if err != nil {
			return good, lines, err
		}
		var c change
		if err := json.Unmarshal(line, &c); err != nil {
			return good, lines, fmt.Errorf("%w: at byte %d: %w", errUnreadable, good, err)
		}
		if lines > 0 || s.format == 1 { // else it is the header
			s.apply(c)
		}
		good += int64(len(line))
		lines++
	}
}

// compact writes one line for each key in place of the history, so that a start
// stays short.
func (s *store) compact() error {
	var b strings.Builder
	b.WriteString(header(s.format))
	for key, value := range s.data {
		line, err := json.Marshal(change{key, &value})
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	return web.WriteWhole(s.path, b.String())
}

func (s *store) apply(c change) {
	if c.Value == nil {
		delete(s.data, c.Key)
		return
	}
	s.data[c.Key] = *c.Value
}

func (s *store) get(key string) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.data[key]
	return v, ok
}

func (s *store) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.data)
}

func (s *store) put(c change) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the data: %w", err)
	}
	s.apply(c)
	return nil
}

// reopen opens what close let go of, as it is by now.
func (s *store) reopen() error {
	now, err := openStore(s.path, s.format)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.file = now.data, now.file
	return nil
}

// close makes everything durable and lets go of the file.
func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.file.Sync(), s.file.Close())
}
