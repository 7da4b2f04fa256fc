package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// clean waits until every member has removed what is not needed any more: record,
// archives, and what lay beside the program.
func (f *fleet) clean() {
	f.t.Helper()
	ctx, cancel := f.ctx()
	defer cancel()
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var left []string
		for _, b := range f.boxes {
			if s, _, err := b.record(ctx, ""); err != nil || s.Status != "none" {
				left = append(left, fmt.Sprintf("%s: record %+v, %v", b.id, s, err))
			}
			left = append(left, b.leftovers()...)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(limit) {
			f.t.Fatalf("this is left:\n%s\n%s", strings.Join(left, "\n"), f.story())
		}
	}
}

// leftovers are the files of a member that nobody needs when nothing is staged.
func (b *box) leftovers() (left []string) {
	files, _ := os.ReadDir(b.dir)
	for _, file := range files {
		switch name := file.Name(); {
		case name == product, name == product+".log", name == "data", filepath.Ext(name) == ".pem", filepath.Ext(name) == ".crt", filepath.Ext(name) == ".key":
		case name == "."+product+".previous", name == "."+product+".upgrade.json": // the way back, and what is trusted
		default:
			left = append(left, b.id+": "+name)
		}
	}
	filepath.WalkDir(filepath.Join(b.dir, "data", "archives"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			left = append(left, b.id+": archives/"+d.Name())
		}
		return nil
	})
	return left
}
