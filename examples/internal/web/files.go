package web

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// readOrMake returns what is in a file, and makes it if it is not there. It is
// complete or not there at all, even after a power cut: half a secret is none.
func readOrMake(path string, text func() string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 0 {
		return "", fmt.Errorf("%s is empty; remove it to have a new one made", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return string(b), err
	}
	made := text() + "\n"
	return made, WriteWhole(path, made)
}

// WriteWhole replaces the file at path, so that a crash leaves the old or the new
// one. A file that holds the text already is left alone: a server whose disk is
// full starts all the same.
func WriteWhole(path, text string) error {
	if now, err := os.ReadFile(path); err == nil && string(now) == text {
		return nil
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
