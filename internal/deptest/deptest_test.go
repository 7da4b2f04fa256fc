package deptest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestModule checks this module itself.
func TestModule(t *testing.T) {
	files, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		seen[f.Package] = true
	}
	for _, pkg := range []string{".", "archive", "cluster", "tracking", "capabilities", "upgrade", "internal/deptest"} {
		if !seen[pkg] {
			t.Errorf("package %s has not been read", pkg)
		}
	}
	for _, line := range Check(files) {
		t.Error(line)
	}
}

// The name of the module in go.mod is the one that the rules go by.
func TestModulePath(t *testing.T) {
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(data), "module "+Module+"\n") {
		t.Errorf("go.mod is not that of %s", Module)
	}
}

// Each of these breaks one rule, or none: "" is what is allowed.
func TestRules(t *testing.T) {
	const m = Module + "/"
	for _, tc := range []struct {
		file   string // path
		source string // imports, then the rest of the file after a ";"
		want   string // part of the one line, "" for none
	}{
		{"doc.go", "", ""},
		{"doc.go", m + "upgrade", "may import of ours"},

		// Leaves.
		{"archive/x.go", m + "internal/durable", ""},
		{"archive/x.go", m + "cluster", "archive may import of ours"},
		{"cluster/x.go", m + "internal/durable", "cluster may import of ours"},
		{"cluster/x.go", m + "tracking", "cluster may import of ours"},
		{"tracking/x.go", m + "archive", "tracking may import of ours"},
		{"tracking/x.go", m + "internal/other", "tracking may import of ours"},
		{"tracking/x.go", m + "upgrade", "tracking may import of ours"},
		{"capabilities/x.go", m + "archive", "capabilities may import of ours"},
		{"tracking/x.go", Module, "tracking may import of ours"},
		{"upgrade/restart/x.go", m + "upgrade", "upgrade/restart may import of ours"},
		{"upgrade/x.go", m + "upgrade/httpapi", "upgrade may import of ours"},
		{"upgrade/x.go", m + "upgrade/restart", ""},
		{"upgrade/x.go", m + "tracking", ""},
		{"upgrade/httpapi/x.go", m + "internal/durable", "upgrade/httpapi may import of ours"},
		{"internal/durable/x.go", m + "tracking", "internal/... may import of ours"},
		{"internal/durable/x.go", m + "internal/faults", ""},
		{"examples/server/x.go", m + "internal/durable", "examples/... may import of ours"},
		{"examples/server/x.go", m + "upgrade/upgradecmd", ""},
		{"tracking/x_test.go", m + "cluster", ""},

		// Suites.
		{"tracking/x.go", m + "tracking/trackingtest", "only tests import a ...test package"},
		{"examples/server/x.go", m + "upgrade/upgradetest", "only tests import a ...test package"},
		{"tracking/x_test.go", m + "tracking/trackingtest", ""},
		{"tracking/trackingtest/x.go", m + "cluster", "tracking/trackingtest may import of ours"},
		{"tracking/trackingtest/x.go", m + "tracking", ""},
		{"upgrade/upgradetest/x.go", m + "tracking/trackingtest", ""},
		{"upgrade/upgradetest/x.go", m + "internal/durable", ""},

		// Others' modules.
		{"archive/x.go", afero, ""},
		{"archive/x.go", afero + "/mem", ""},
		{"archive/x_test.go", afero, ""},
		{"tracking/x.go", afero, "tracking may import of others"},
		{"tracking/x_test.go", afero, "tracking may import of others"},
		{"archive/x.go", minisign, ""},
		{"upgrade/x.go", minisign, "upgrade may import of others"},
		{"capabilities/x_linux.go", gocap + "/capability", ""},
		{"upgrade/x.go", gocap + "/capability", "upgrade may import of others"},
		{"upgrade/x.go", hclog, ""},
		{"archive/x.go", hclog, "archive may import of others"},
		{"capabilities/x.go", shellquote, ""},
		{"archive/x.go", shellquote, "archive may import of others"},
		{"upgrade/upgradecmd/x.go", cobra, ""},
		{"upgrade/upgradecmd/x.go", pflag, ""},
		{"upgrade/upgradecmd/x.go", xterm, ""},
		{"examples/server/x.go", cobra, ""},
		{"upgrade/x.go", cobra, "upgrade may import of others"},
		{"upgrade/httpapi/x.go", xterm, "upgrade/httpapi may import of others"},
		{"upgrade/restart/x.go", systemd, ""},
		{"upgrade/httpapi/x.go", systemd, "upgrade/httpapi may import of others"},
		{"tracking/x_windows.go", xsys + "/windows", ""},
		{"cluster/x.go", xsys + "/unix", "cluster may import of others"},
		{"cluster/x.go", "github.com/hashicorp/raft", "cluster may import of others"},
		{"cluster/x_test.go", "github.com/stretchr/testify/assert", "cluster may import of others"},
		{"archive/x.go", "github.com/spf13/aferoid", "archive may import of others"},

		// What tests alone use.
		{"tracking/x.go", goCmp + "/cmp", "only tests and ...test packages import it"},
		{"tracking/x_test.go", goCmp + "/cmp", ""},
		{"tracking/trackingtest/x.go", goCmp + "/cmp", ""},
		{"tracking/x.go", "testing", "only tests and ...test packages import it"},
		{"upgrade/x.go", "testing/fstest", "only tests and ...test packages import it"},
		{"upgrade/x.go", "net/http/httptest", "only tests and ...test packages import it"},
		{"internal/deptest/x.go", "testing", "only tests and ...test packages import it"},
		{"tracking/trackingtest/x.go", "testing", ""},
		{"tracking/x_test.go", "testing/synctest", ""},

		// Habits.
		{"tracking/x.go", "log", "is given a logger"},
		{"tracking/trackingtest/x.go", "log", "is given a logger"},
		{"tracking/x.go", "log/slog", ""},
		{"tracking/x_test.go", "log", ""},
		{"examples/server/x.go", "log", ""},
		{"tracking/x.go", "os;var x = os.Stderr", "uses os.Stderr"},
		{"tracking/x.go", "alias os;var x = alias.Stderr", "uses os.Stderr"},
		{"tracking/x.go", ". os;var x = Stderr", "uses os.Stderr"},
		{"tracking/x.go", "os;func f() { os.Stderr.Close() }", "uses os.Stderr"},
		{"tracking/x.go", "os;var x = os.Stdout", ""},
		{"tracking/x.go", ";var os struct{ Stderr int }; var x = os.Stderr", ""},
		{"tracking/x_test.go", "os;var x = os.Stderr", ""},
		{"examples/server/x.go", "os;var x = os.Stderr", ""},
		{"upgrade/upgradecmd/x.go", "os;var x = os.Stderr", "uses os.Stderr"},
		{"upgrade/x.go", "os;var x = os.Stderr", "uses os.Stderr"},
		{watcherFile, "os;var x = os.Stderr", ""},
		{"tracking/x.go", ";func init() {}", "has an init function"},
		{"tracking/x.go", ";type t int; func (t) init() {}", ""},
		{"tracking/x_test.go", ";func init() {}", ""},

		// Every package has its place.
		{"newcomer/x.go", "", "has no row"},
		{"archive/below/x.go", "", "has no row"},
		{"upgrade/below/x_test.go", "", "has no row"},
	} {
		imports, rest, _ := strings.Cut(tc.source, ";")
		source := "package x\n"
		if name, imported, named := strings.Cut(imports, " "); named {
			source += "import " + name + " \"" + imported + "\"\n"
		} else if imports != "" {
			source += "import \"" + imports + "\"\n"
		}
		files, err := Load(fstest.MapFS{tc.file: {Data: []byte(source + rest + "\n")}})
		if err != nil {
			t.Fatalf("%s, %s: %v", tc.file, tc.source, err)
		}
		got := Check(files)
		switch {
		case tc.want == "" && len(got) != 0:
			t.Errorf("%s, %s: %q, want nothing", tc.file, tc.source, got)
		case tc.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tc.file+": ") || !strings.Contains(got[0], tc.want)):
			t.Errorf("%s, %s: %q, want one line with %q", tc.file, tc.source, got, tc.want)
		}
	}
}

func TestLoad(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("package x\n")}
	files, err := Load(fstest.MapFS{
		"go.mod": {}, "doc.go": file, "README.md": {},
		"upgrade/x_windows.go": file, "upgrade/tagged.go": {Data: []byte("//go:build never\n\npackage x\n")},
		"nested/go.mod": {}, "nested/x.go": file, "nested/below/x.go": file,
		"upgrade/testdata/x.go": file, ".git/x.go": file, "_old/x.go": file, "upgrade/_x.go": file, "upgrade/.x.go": file,
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Package+" "+f.Name)
	}
	if diff := cmp.Diff([]string{". doc.go", "upgrade tagged.go", "upgrade x_windows.go"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := Load(fstest.MapFS{"x.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("a file that is no Go was read")
	}
}
