package deptest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Module is the path of the root module.
const Module = "github.com/leaderlast/leaderlast"

// Modules of others that parts of this one are built on.
const (
	afero       = "github.com/spf13/afero"
	cobra       = "github.com/spf13/cobra"
	pflag       = "github.com/spf13/pflag"
	hclog       = "github.com/hashicorp/go-hclog"
	shellquote  = "github.com/kballard/go-shellquote"
	gocap       = "github.com/syndtr/gocapability"
	goCmp       = "github.com/google/go-cmp"
	minisign    = "aead.dev/minisign"
	systemd     = "github.com/coreos/go-systemd/v22/daemon"
	xsys, xterm = "golang.org/x/sys", "golang.org/x/term"
)

// A row says what a package, and with "/..." everything below it, may import
// besides the standard library. Ours is relative to the module, Others by
// prefix of the path. Tests may import more: whatever is ours, and go-cmp.
type row struct {
	Package string
	Ours    []string
	Others  []string
}

// table is the import rules. The first row that fits a package counts, and a
// package without a row is refused: where it belongs is a decision.
var table = []row{
	{Package: "."},

	// The contracts: none knows another.
	{Package: "archive", Ours: []string{"internal/durable"}, Others: []string{afero, minisign, xsys}},
	{Package: "cluster"},
	{Package: "tracking", Ours: []string{"internal/durable"}, Others: []string{xsys}},
	{Package: "capabilities", Ours: []string{"internal/durable"}, Others: []string{gocap, shellquote, xsys}},

	// What joins them, and its faces.
	{Package: "upgrade", Ours: []string{"archive", "cluster", "tracking", "capabilities", "upgrade/restart", "internal/..."}, Others: []string{hclog, shellquote, systemd, xsys}},
	{Package: "upgrade/restart", Ours: []string{"internal/..."}, Others: []string{hclog, shellquote, systemd, xsys}},
	{Package: "upgrade/httpapi", Ours: []string{"upgrade", "archive", "cluster", "tracking"}, Others: []string{hclog}},
	{Package: "upgrade/upgradecmd", Ours: []string{"upgrade", "upgrade/httpapi", "archive", "cluster", "tracking", "capabilities", "internal/..."}, Others: []string{cobra, pflag, xterm, xsys, hclog, shellquote}},

	// The suites: what they test, each other's helpers for the last.
	{Package: "archive/archivetest", Ours: []string{"archive"}, Others: []string{goCmp}},
	{Package: "cluster/clustertest", Ours: []string{"cluster"}, Others: []string{goCmp}},
	{Package: "tracking/trackingtest", Ours: []string{"tracking"}, Others: []string{goCmp}},
	{Package: "upgrade/upgradetest", Ours: []string{"..."}, Others: []string{goCmp, hclog, xsys}},

	{Package: "internal/...", Ours: []string{"internal/..."}, Others: []string{xsys}},
	{Package: "examples/...", Ours: []string{"archive", "cluster", "tracking", "capabilities", "upgrade", "upgrade/...", "examples/..."}, Others: []string{hclog, cobra, pflag, xterm, xsys}},
}

// watcherFile is the main program of a process of its own: nobody is there to give it anything.
const watcherFile = "upgrade/watcher_unix.go"

// Check returns what breaks the rules, one line each, sorted.
func Check(files []File) []string {
	var broken []string
	for _, f := range files {
		where := path.Join(f.Package, f.Name)
		for _, why := range check(f) {
			broken = append(broken, where+": "+why)
		}
	}
	slices.Sort(broken)
	return broken
}

func check(f File) (broken []string) {
	i := slices.IndexFunc(table, func(r row) bool { return fits(r.Package, f.Package) })
	if i < 0 {
		return []string{"its package has no row in the table of internal/deptest"}
	}
	for _, imported := range f.Imports {
		if why := checkImport(table[i], f, imported); why != "" {
			broken = append(broken, "imports "+imported+": "+why)
		}
	}
	if !f.Test && !isExample(f.Package) {
		for _, use := range f.Uses {
			switch use {
			case "init":
				broken = append(broken, "has an init function: importing a library does nothing")
			case "os.Stderr":
				if path.Join(f.Package, f.Name) == watcherFile {
					continue
				}
				broken = append(broken, "uses os.Stderr: a library returns errors, or is given a writer or a logger")
			}
		}
	}
	return broken
}

func checkImport(r row, f File, imported string) string {
	ours, isOurs := strings.CutPrefix(imported+"/", Module+"/")
	ours = path.Clean(ours)
	helper := isSuite(f.Package)
	switch {
	case isOurs && f.Test:
		return ""
	case isOurs && isSuite(ours) && !helper:
		return "only tests import a ...test package"
	case isOurs:
		if !slices.ContainsFunc(r.Ours, func(p string) bool { return fits(p, ours) }) {
			return fmt.Sprintf("%s may import of ours %v", r.Package, r.Ours)
		}
	case !strings.Contains(strings.Split(imported, "/")[0], "."):
		switch {
		case f.Test || imported == "C":
		case imported == "log" && !isExample(f.Package):
			return "a library returns errors, or is given a logger"
		case (within(imported, "testing") || imported == "net/http/httptest") && !helper:
			return "only tests and ...test packages import it"
		}
	case within(imported, goCmp) && f.Test:
	case within(imported, goCmp) && !helper:
		return "only tests and ...test packages import it"
	case !slices.ContainsFunc(r.Others, func(p string) bool { return within(imported, p) }):
		return fmt.Sprintf("%s may import of others %v", r.Package, r.Others)
	}
	return ""
}

// fits reports whether p is pkg, or "dir/..." with pkg below dir.
func fits(pattern, pkg string) bool {
	dir, all := strings.CutSuffix(pattern, "...")
	return pattern == pkg || all && strings.HasPrefix(pkg+"/", dir)
}

func within(imported, prefix string) bool {
	return imported == prefix || strings.HasPrefix(imported, prefix+"/")
}

// isSuite reports whether pkg exists for tests, as its name says.
func isSuite(pkg string) bool {
	return strings.HasSuffix(pkg, "test") && !within(pkg, "internal/deptest")
}

func isExample(pkg string) bool { return within(pkg, "examples") }
