package upgrade

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Room that is left to everybody else who writes to the file system meanwhile:
// a tenth of what is needed, and at least spaceMargin or, on a small disk,
// a twentieth of it.
const spaceMargin = 64 << 20

// prereqInodes is how many files an upgrade makes beside the program: for each
// one replaced the new and the previous one and what they are renamed from, and
// a few for its own notes.
func prereqInodes(replaced int) int64 { return int64(4*replaced + 4) }

func margin(need, total int64) int64 {
	return max(need/10, min(spaceMargin, total/20))
}

// besides returns the bytes that the program's directory will have to take.
func (p prereqs) besides() (need int64, files int) {
	current := p.Program.Info.Size()
	next := current // as large as the one that runs, if nothing better is known
	if kept, err := os.Lstat(p.Program.PreviousPath()); p.Back != "" && err == nil {
		next = kept.Size()
	}
	var fresh map[string]int64
	if p.Release != nil {
		fresh = make(map[string]int64)
		for name, f := range p.Release.For(p.Platform) {
			fresh[name] = f.Size
		}
		if size, ok := fresh[p.Program.Base()]; ok {
			next = size
		}
	}
	need, files = current+next, 1
	for _, c := range p.Companions {
		old, err := os.Lstat(filepath.Join(p.Program.Dir(), c))
		if err != nil {
			continue // not there: not replaced
		}
		size := old.Size()
		if p.Release != nil {
			fresh, ok := fresh[c]
			if !ok {
				continue
			}
			size = fresh
		}
		need, files = need+old.Size()+size, files+1
	}
	// What was prepared before makes way, or is already what is wanted.
	return max(0, need-allocated(p.Program.NextPath())), files
}

func (p prereqs) dirSpace(context.Context) finding {
	need, files := p.besides()
	return roomFor(need, prereqInodes(files), p.Program.Dir())
}

func (p prereqs) storeSpace(context.Context) finding {
	switch {
	case p.Store == "":
		return unjudged("the archive store is not on a disk of this machine")
	case p.Release == nil:
		return unjudged("there is no archive yet")
	case p.Staged:
		return passes("the archive is there already")
	}
	need, files := p.Release.Size+p.Release.Unpacked, int64(len(p.Release.Files)+2)
	store, err := spaceAt(p.Store)
	if err != nil {
		return roomUnknown(p.Store, err)
	}
	// On one disk both take their share.
	if dir, err := spaceAt(p.Program.Dir()); err == nil && dir.Dev == store.Dev {
		more, n := p.besides()
		need, files = need+more, files+prereqInodes(n)
	}
	return roomFor(need, files, p.Store)
}

// roomFor judges whether that many bytes and files fit into dir.
func roomFor(need, files int64, dir string) finding {
	have, err := spaceAt(dir)
	if err != nil {
		return roomUnknown(dir, err)
	}
	want := need + margin(need, have.Total)
	look := shellLine("df", "-h", dir) + " && " + shellLine("sudo", "du", "-xh", "--max-depth=1", mountPoint(dir)) + " | sort -h"
	if have.Free < want {
		return fails("There is not enough room in "+dir+".",
			fmt.Sprintf("%s free, %s needed (%s of them to spare)", spaceText(have.Free), spaceText(want), spaceText(want-need)),
			fmt.Sprintf("Free at least %s there.", spaceText(want-have.Free)), look)
	}
	if have.Inodes >= 0 && have.Inodes < files {
		return fails("There is no room for more files in "+dir+".",
			fmt.Sprintf("%d inodes free, %d needed", have.Inodes, files),
			"Remove files there, small ones count as much as large ones.",
			shellLine("df", "-i", dir)+" && "+shellLine("sudo", "du", "--inodes", "-x", "--max-depth=1", mountPoint(dir))+" | sort -n")
	}
	return passes("%s free, %s needed", spaceText(have.Free), spaceText(want))
}

func roomUnknown(dir string, err error) finding {
	if notHere(err) {
		return unjudged("this operating system is not asked for free space")
	}
	return fails("The room in "+dir+" cannot be found out.", err.Error(),
		"See whether that disk is mounted and answers.", shellLine("df", "-h", dir))
}

// mountPoint is where the file system of dir begins, or dir.
func mountPoint(dir string) string {
	if m, err := mountOf(dir); err == nil && m.Point != "" {
		return m.Point
	}
	return dir
}

// spaceText writes bytes as people read them, in powers of ten.
func spaceText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n), "kMGTPE"
	i := -1
	for ; v >= 999.95 && i+1 < len(units); i++ {
		v /= 1000
	}
	return fmt.Sprintf("%.1f %cB", v, units[i])
}
