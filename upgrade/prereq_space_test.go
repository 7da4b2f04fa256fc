package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

func TestSpaceText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 41_200_000: "41.2 MB",
		999_949: "999.9 kB", 999_950: "1.0 MB", 1 << 62: "4.6 EB"} {
		if got := spaceText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestMargin(t *testing.T) {
	for _, test := range []struct{ need, total, want int64 }{
		{100 << 20, 100 << 30, 64 << 20}, // an ordinary disk
		{10 << 20, 128 << 20, 128 << 20 / 20},
		{2 << 30, 100 << 30, 2 << 30 / 10},
		{60 << 20, 64 << 20, 6 << 20},
	} {
		if got := margin(test.need, test.total); got != test.want {
			t.Errorf("margin(%d, %d) = %d, want %d", test.need, test.total, got, test.want)
		}
	}
}

// The room beside the program is for the new one, the old one and those of the
// companions that are there and are in the release.
func TestRoomBesideTheProgram(t *testing.T) {
	p := soundPrereqs(t)
	own := p.Program.Info.Size()
	p.Companions = []string{"ctl", "missing", "unlisted"}
	for name, size := range map[string]int{"ctl": 100, "unlisted": 1000} {
		if err := os.WriteFile(filepath.Join(p.Program.Dir(), name), make([]byte, size), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	release := p.Release
	p.Release = nil
	if need, files := p.besides(); need != 2*own+2200 || files != 3 {
		t.Errorf("without a release %d bytes, %d files", need, files)
	}
	p.Release = release
	p.Release.Files = append(p.Release.Files,
		archive.File{Name: "bin/linux/amd64/ctl", Size: 7, Platform: p.Platform},
		archive.File{Name: "bin/linux/amd64/missing", Size: 9, Platform: p.Platform})
	if need, files := p.besides(); need != own+20+107 || files != 2 {
		t.Errorf("with a release %d bytes, %d files", need, files)
	}
}

func TestArchivePlatformNamesWhatIsThere(t *testing.T) {
	p := soundPrereqs(t)
	p.Platform.Arch = "riscv64"
	c := checkOf(t, p, "archive-platform")
	if c.Result != Fail || !strings.Contains(c.Seen, "only for linux/amd64") || !strings.Contains(c.Fix.Text, "bin/linux/riscv64/provd") {
		t.Errorf("%+v", c)
	}
	p.Release = nil
	if c := checkOf(t, p, "archive-platform"); c.Result != NotRun {
		t.Errorf("%+v", c)
	}
}

func TestStoreSpaceIsNotAskedForTwice(t *testing.T) {
	for _, test := range []struct {
		change func(*prereqs)
		want   Result
	}{
		{func(p *prereqs) {}, Fail},
		{func(p *prereqs) { p.Staged = true }, Pass},
		{func(p *prereqs) { p.Store = "" }, NotRun},
		{func(p *prereqs) { p.Release = nil }, NotRun},
		{func(p *prereqs) { p.Store = filepath.Join(p.Store, "not", "there", "yet"); p.Release.Size = 1 }, Pass},
	} {
		p := soundPrereqs(t)
		if _, err := spaceAt(p.Store); notHere(err) {
			return
		}
		p.Release.Size = 1 << 60
		test.change(&p)
		if c := checkOf(t, p, "store-space"); c.Result != test.want {
			t.Errorf("want %s: %+v", test.want, c)
		}
	}
}

// Every sentence of a fix that names a path survives a shell.
func TestShellLine(t *testing.T) {
	if got, want := shellLine("sudo", "mv", "/opt/my server/x", "/y"), "sudo mv '/opt/my server/x' /y"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	want := "sudo mkdir -p /etc/systemd/system/provd.service.d && printf '[Service]\\n%s\\n' ReadWritePaths=/opt/provd" +
		" | sudo tee /etc/systemd/system/provd.service.d/upgrade.conf && sudo systemctl daemon-reload && sudo systemctl restart provd.service"
	if got := dropIn("provd.service", "upgrade", "ReadWritePaths=/opt/provd"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
