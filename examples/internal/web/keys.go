package web

import (
	"fmt"
	"os"

	"github.com/leaderlast/leaderlast/archive"
)

// Keys reads the public keys that may sign upgrades.
func Keys(files []string) ([]archive.PublicKey, error) {
	var keys []archive.PublicKey
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--upgrade-key: %w", err)
		}
		key, err := archive.ParsePublicKey(string(text))
		if err != nil {
			return nil, fmt.Errorf("--upgrade-key %s: %w", path, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
