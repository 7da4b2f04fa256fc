package faultfs

import (
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// A Log records what is done to the files of one directory, in order to say
// what a power cut at any moment could have left of it.
//
// The model is harsher than any one file system. Between two syncs of the
// directory each create, rename, link and remove may have reached the disk or
// not, whatever became of the others; a rename is never seen half. Of a file
// that was not synced since it was last changed there may be all of the
// content, none, the first half, or zeros of its length, or what it had at its
// last sync; and separately the attributes of then or of now.
type Log struct {
	mu     sync.Mutex
	nodes  []*node
	first  map[string]int // inode by base name when the Log began
	names  map[string]int // now
	events []event
}

type kind int

const (
	created kind = iota
	written
	moded
	attributed
	synced
	renamed
	linked
	removed
	dirSynced
)

type event struct {
	kind  kind
	inode int
	path  string // base name; of an attribute its name
	to    string
	data  []byte
	mode  fs.FileMode
}

type node struct {
	data  []byte
	mode  fs.FileMode
	attrs map[string]string
}

func (n node) clone() node { n.attrs = maps.Clone(n.attrs); return n }

// NewLog returns a Log of dir, whose present content is taken to be durable.
func NewLog(dir string) (*Log, error) {
	l := &Log{first: make(map[string]int)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	type id struct{ inode, device uint64 }
	seen := make(map[id]int)
	for _, e := range entries {
		f, err := durable.OS{}.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		k := id{info.Inode, info.Device}
		i, ok := seen[k]
		if !ok {
			n := &node{mode: info.Mode, data: make([]byte, info.Size), attrs: make(map[string]string)}
			if _, err = f.Read(n.data); info.Size == 0 {
				err = nil
			}
			attrs, aerr := f.Xattrs()
			for name, value := range attrs {
				n.attrs[name] = string(value)
			}
			if err == nil {
				err = aerr
			}
			i = len(l.nodes)
			l.nodes, seen[k] = append(l.nodes, n), i
		}
		f.Close()
		if err != nil {
			return nil, err
		}
		l.first[e.Name()] = i
	}
	l.names = maps.Clone(l.first)
	return l, nil
}

func (l *Log) create(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := len(l.nodes)
	l.nodes = append(l.nodes, &node{mode: 0o600, attrs: make(map[string]string)})
	l.put(event{kind: created, inode: i, path: filepath.Base(path)})
	return i
}

func (l *Log) lookup(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[filepath.Base(path)]
}

// info replaces what differs between a disk and a copy of it by what does not.
// The time of the last change is not known then.
func (l *Log) info(inode int, info durable.Info) durable.Info {
	info.Inode, info.Device = uint64(inode)+1, 1
	info.Written, info.Changed = time.Unix(0, 0), time.Time{}
	return info
}

func (l *Log) add(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.kind {
	case renamed, linked, removed:
		e.path = filepath.Base(e.path)
		e.inode = l.names[e.path]
		if e.to != "" {
			e.to = filepath.Base(e.to)
		}
	}
	l.put(e)
}

func (l *Log) put(e event) {
	e.apply(l.names)
	l.events = append(l.events, e)
}

// apply does to names what e does to a directory.
func (e event) apply(names map[string]int) {
	switch e.kind {
	case created:
		names[e.path] = e.inode
	case linked:
		names[e.to] = e.inode
	case renamed:
		if i, ok := names[e.path]; ok && i == e.inode {
			delete(names, e.path)
		}
		names[e.to] = e.inode
	case removed:
		if i, ok := names[e.path]; ok && i == e.inode {
			delete(names, e.path)
		}
	}
}

// A State is what a disk may hold after a power cut.
type State struct {
	Final bool // all that is in the Log had happened
	names map[string]int
	nodes map[int]node
}

// Crashes yields every state that a power cut could leave, each once; those of a
// power cut after all that is in the Log come last, again once each, Final.
func (l *Log) Crashes() iter.Seq[State] {
	return func(yield func(State) bool) {
		seen := make(map[string]bool)
		now, disk := make([]node, len(l.nodes)), make([]node, len(l.nodes))
		for i, n := range l.nodes {
			now[i], disk[i] = n.clone(), n.clone()
		}
		names := maps.Clone(l.first) // on the disk
		var pending []event          // changes of names since the last sync
		for after := 0; ; after++ {
			final := after == len(l.events)
			if final {
				clear(seen)
			}
			for part := range 1 << len(pending) {
				there := maps.Clone(names)
				for i, e := range pending {
					if part&(1<<i) != 0 {
						e.apply(there)
					}
				}
				for nodes := range variants(there, now, disk) {
					s := State{Final: final, names: there, nodes: nodes}
					if key := s.String(); !seen[key] {
						seen[key] = true
						if !yield(s) {
							return
						}
					}
				}
			}
			if final {
				return
			}
			switch e := l.events[after]; e.kind {
			case written:
				now[e.inode].data = append(slices.Clip(now[e.inode].data), e.data...)
			case moded:
				now[e.inode].mode = e.mode
			case attributed:
				if e.data == nil {
					delete(now[e.inode].attrs, e.path)
				} else {
					now[e.inode].attrs[e.path] = string(e.data)
				}
			case synced:
				disk[e.inode] = now[e.inode].clone()
			case dirSynced:
				for _, e := range pending {
					e.apply(names)
				}
				pending = nil
			default:
				pending = append(pending, e)
			}
		}
	}
}

// variants yields what the files that have a name may hold.
func variants(names map[string]int, now, disk []node) iter.Seq[map[int]node] {
	used := slices.Compact(slices.Sorted(maps.Values(names)))
	var choices [][]node
	for _, i := range used {
		choices = append(choices, contents(now[i], disk[i]))
	}
	return func(yield func(map[int]node) bool) {
		pick := make([]int, len(used))
		for {
			nodes := make(map[int]node)
			for k, i := range used {
				nodes[i] = choices[k][pick[k]]
			}
			if !yield(nodes) {
				return
			}
			k := 0
			for ; k < len(pick); k++ {
				if pick[k]++; pick[k] < len(choices[k]) {
					break
				}
				pick[k] = 0
			}
			if k == len(pick) {
				return
			}
		}
	}
}

func contents(now, disk node) []node {
	datas := [][]byte{now.data}
	if string(now.data) != string(disk.data) {
		datas = append(datas, disk.data, nil, now.data[:len(now.data)/2], make([]byte, len(now.data)))
	}
	metas := []node{now}
	if now.mode != disk.mode || !maps.Equal(now.attrs, disk.attrs) {
		metas = append(metas, disk)
	}
	var all []node
	for _, m := range metas {
		for _, d := range datas {
			all = append(all, node{data: d, mode: m.mode, attrs: m.attrs})
		}
	}
	return all
}

// String lists the files, and is the same for states that look the same.
func (s State) String() string {
	var out string
	label := make(map[int]int) // inodes by first name: their numbers are ours
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		i := s.names[name]
		if _, ok := label[i]; !ok {
			label[i] = len(label)
		}
		n := s.nodes[i]
		out += fmt.Sprintf("%s #%d %v %q %v\n", name, label[i], n.mode, n.data, n.attrs)
	}
	return out
}

// Mount makes dir, which must be empty, hold the state, and returns a Log of it
// that goes on numbering files as the one before did.
func (s State) Mount(dir string) (*Log, error) {
	if err := s.write(dir); err != nil {
		return nil, err
	}
	l := &Log{first: maps.Clone(s.names), names: maps.Clone(s.names)}
	for i, n := range s.nodes {
		for len(l.nodes) <= i {
			l.nodes = append(l.nodes, &node{})
		}
		n = n.clone()
		l.nodes[i] = &n
	}
	return l, nil
}

func (s State) write(dir string) error {
	made := make(map[int]string)
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		i, path := s.names[name], filepath.Join(dir, name)
		if first, ok := made[i]; ok {
			if err := os.Link(first, path); err != nil {
				return err
			}
			continue
		}
		made[i] = path
		n := s.nodes[i]
		f, err := durable.OS{}.Create(path)
		if err != nil {
			return err
		}
		_, err = f.Write(n.data)
		for name, value := range n.attrs {
			if err == nil {
				err = f.SetXattr(name, []byte(value))
			}
		}
		if err == nil {
			err = f.Chmod(n.mode)
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
