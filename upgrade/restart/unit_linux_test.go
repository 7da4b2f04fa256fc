package restart

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The units of the page are what systemd takes without a word.
func TestUnitsOfThePage(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip(t, "needs systemd-analyze")
	}
	page, err := os.ReadFile("../../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```ini\n# ")[1:]
	if len(blocks) != 2 {
		t.Fatalf("%d units, want 2", len(blocks))
	}
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		name, unit, _ := strings.Cut(b, "\n")
		t.Run(name, func(t *testing.T) {
			const program = "ExecStart=/opt/kvd/kvd "
			if !strings.Contains(unit, program) {
				t.Errorf("no %q", program)
			}
			path := filepath.Join(t.TempDir(), name)
			unit = strings.Replace(unit, program, "ExecStart=/bin/true ", 1) // it has to exist
			if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
