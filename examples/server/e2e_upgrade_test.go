package main

import (
	"testing"
)

func TestUpgrade(t *testing.T) {
	t.Parallel()
	k := startKVD(t, kvdConfig{})
	k.upgrade("1.1.0", 2)
}
