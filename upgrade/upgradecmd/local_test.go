package upgradecmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// workshop is a directory with two programs, as a build leaves them.
func workshop(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, size := range map[string]int{"provd": 38_000, "provctl": 3_200} {
		file := filepath.Join(dir, "bin", "linux", "amd64", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		text := "#!/bin/sh\n" + strings.Repeat("# "+name+"\n", size/8)
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

func command(t *testing.T, want int, args ...string) *running {
	t.Helper()
	r := run(t, setup{width: 80, args: append([]string{"upgrade"}, args...)})
	if r.code != want {
		t.Fatalf("%v: exit code %d, want %d\n%s", args, r.code, want, r.text())
	}
	return r
}

func TestLocalVerbs(t *testing.T) {
	workshop(t)
	var b strings.Builder
	note := func(r *running) string {
		b.WriteString(keyID.ReplaceAllString(r.text(), "0123456789ABCDEF"))
		return r.screen.text()
	}
	note(command(t, CodeOK, "keygen", "--out", "release", "--no-password"))
	note(command(t, CodeError, "keygen", "--out", "release", "--no-password"))
	note(command(t, CodeOK, "pack", "--version", "4.12.0", "--counter", "57", "--expires", "2027-02-01", "--stored", "--out", "provd-4.12.0.zip", "bin/"))
	note(command(t, CodeDenied, "inspect", "--pub", "release.pub", "provd-4.12.0.zip"))
	note(command(t, CodeOK, "inspect", "provd-4.12.0.zip"))
	note(command(t, CodeOK, "sign", "--key", "release.key", "provd-4.12.0.zip"))
	note(command(t, CodeOK, "inspect", "--pub", "release.pub", "provd-4.12.0.zip"))
	note(command(t, CodeOK, "inspect", "provd-4.12.0.zip"))
	note(command(t, CodeRefused, "inspect", "--program", "dr-provision", "--pub", "release.pub", "provd-4.12.0.zip"))
	command(t, CodeOK, "keygen", "--out", "other", "--no-password")
	note(command(t, CodeDenied, "inspect", "--pub", "other.pub", "provd-4.12.0.zip"))
	golden(t, "local-verbs", b.String())

	if info, err := os.Stat("release.key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(".*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestPackReproducible(t *testing.T) {
	workshop(t)
	pack := func(out string, what ...string) []byte {
		command(t, CodeOK, append([]string{"pack", "--version", "4.12.0", "--counter", "57", "--out", out}, what...)...)
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first := pack("a.zip", "bin")
	for i, same := range [][]string{
		{"."}, {"bin/linux/amd64/provd", "bin/linux/amd64/provctl"},
		{"bin/linux/amd64/provctl=bin/linux/amd64/provctl", "./bin/linux/amd64/provd"},
	} {
		// What is packed must not be in the directory that is packed.
		out := filepath.Join(t.TempDir(), "b.zip")
		if i == 0 {
			os.Remove("a.zip")
		}
		if !bytes.Equal(first, pack(out, same...)) {
			t.Errorf("pack %v gives other bytes", same)
		}
	}
	if tgz := pack(filepath.Join(t.TempDir(), "a.tgz"), "bin"); !bytes.HasPrefix(tgz, []byte{0x1f, 0x8b}) {
		t.Errorf("a .tgz begins with % x", tgz[:4])
	}
}

func TestPackUsage(t *testing.T) {
	workshop(t)
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"--counter", "1", "--out", "a.zip", "bin"}, "--version is needed", CodeUsage},
		{[]string{"--version", "1", "--out", "a.zip", "bin"}, "--counter is needed", CodeUsage},
		{[]string{"--version", "1", "--counter", "1", "bin"}, "--out is needed", CodeUsage},
		{[]string{"--version", "1", "--counter", "1", "--out", "a.zip"}, "give the directory", CodeUsage},
		{[]string{"--version", "1", "--counter", "1", "--out", "a.zip", "--format", "rar", "bin"}, "neither zip nor tar.gz", CodeUsage},
		{[]string{"--version", "1", "--counter", "1", "--out", "a.zip", "--expires", "soon", "bin"}, "no day", CodeUsage},
		{[]string{"--version", "1", "--counter", "1", "--out", "a.zip", "bin/linux/amd64"}, "no file named bin/", CodeRefused},
		{[]string{"--version", "1", "--counter", "1", "--out", "a.zip", "nosuch"}, "no such file", CodeError},
		{[]string{"--version", "1 2", "--counter", "1", "--out", "a.zip", "bin"}, "version", CodeRefused},
	} {
		r := run(t, setup{width: 80, args: append([]string{"upgrade", "pack"}, c.args...)})
		if text := r.text(); r.code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s", c.args, r.code, c.code, c.want, text)
		}
		if _, err := os.Lstat("a.zip"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: left a file", c.args)
		}
		if left, _ := filepath.Glob(".*"); len(left) > 0 {
			t.Errorf("%v: left %v", c.args, left)
		}
	}
}

func TestPasswords(t *testing.T) {
	workshop(t)
	command(t, CodeUsage, "keygen", "--out", "release")
	command(t, CodeUsage, "keygen", "--out", "release", "--no-password", "--password-file", "x")
	if err := os.WriteFile("open", []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text := command(t, CodeError, "keygen", "--out", "release", "--password-file", "open").text(); !strings.Contains(text, "others may read it") {
		t.Errorf("a password that all may read:\n%s", text)
	}
	if left, _ := filepath.Glob("release*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	r := run(t, setup{width: 80, stdin: "one\ntwo\n", args: []string{"upgrade", "keygen", "--out", "release"}})
	if r.code != CodeUsage || !strings.Contains(r.text(), "differ") {
		t.Errorf("two passwords: exit code %d\n%s", r.code, r.text())
	}
}

// A key with a password signs once that is given. To encrypt and decrypt one takes
// a gigabyte and some seconds each.
func TestEncryptedKey(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("takes a gigabyte and some seconds, with -race minutes: runs without -short and -race")
	}
	workshop(t)
	if err := os.WriteFile("secret", []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, CodeOK, "keygen", "--out", "release", "--password-file", "secret")
	command(t, CodeOK, "pack", "--version", "4.12.0", "--counter", "57", "--out", "a.zip", "bin")
	command(t, CodeUsage, "sign", "--key", "release.key", "a.zip")
	r := run(t, setup{width: 80, stdin: "correct horse\n", args: []string{"upgrade", "sign", "--key", "release.key", "a.zip"}})
	if r.code != CodeOK || !strings.Contains(r.text(), "Password of release.key: ") {
		t.Errorf("at the prompt: exit code %d\n%s", r.code, r.text())
	}
}

// What we sign minisign accepts, and the other way round.
func TestMinisign(t *testing.T) {
	tool, err := exec.LookPath("minisign")
	if err != nil {
		if os.Getenv("LEADERLAST_NOSKIP") != "" {
			t.Fatal("needs minisign: apt-get install minisign")
		}
		t.Skip("needs minisign: apt-get install minisign")
	}
	workshop(t)
	command(t, CodeOK, "keygen", "--out", "ours", "--no-password")
	command(t, CodeOK, "pack", "--version", "4.12.0", "--counter", "57", "--out", "a.tar.gz", "bin")
	command(t, CodeOK, "sign", "--key", "ours.key", "a.tar.gz")
	if out, err := exec.Command("tar", "-xzf", "a.tar.gz", "sha256sums", "sha256sums.minisig").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(tool, "-V", "-p", "ours.pub", "-m", "sha256sums").CombinedOutput(); err != nil {
		t.Errorf("minisign does not accept what we signed: %v: %s", err, out)
	}
	if out, err := exec.Command(tool, "-G", "-W", "-p", "theirs.pub", "-s", "theirs.key").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod("theirs.key", 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, CodeOK, "sign", "--key", "theirs.key", "a.tar.gz")
	command(t, CodeOK, "inspect", "--pub", "theirs.pub", "a.tar.gz")
	command(t, CodeOK, "inspect", "--pub", "ours.pub", "a.tar.gz")
}

// Each local verb writes one document with -o json, and it can be read.
func TestLocalJSON(t *testing.T) {
	workshop(t)
	for _, args := range [][]string{
		{"keygen", "--out", "release", "--no-password"},
		{"pack", "--version", "4.12.0", "--counter", "57", "--out", "a.zip", "bin"},
		{"sign", "--key", "release.key", "a.zip"},
		{"inspect", "--pub", "release.pub", "a.zip"},
	} {
		r := run(t, setup{args: append([]string{"upgrade", "-o", "json"}, args...)})
		var doc map[string]any
		if err := json.Unmarshal([]byte(r.out.String()), &doc); err != nil || r.code != CodeOK || len(doc) < 3 {
			t.Errorf("%v: exit code %d, %v\n%s", args, r.code, err, r.text())
		}
	}
}

// An archive that was changed is refused, for the file that was.
func TestInspectDamaged(t *testing.T) {
	workshop(t)
	command(t, CodeOK, "pack", "--version", "4.12.0", "--counter", "57", "--out", "a.tar.gz", "bin")
	data, err := os.ReadFile("a.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("a.tar.gz", data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if text := command(t, CodeRefused, "inspect", "a.tar.gz").text(); !strings.Contains(text, "refused: ") {
		t.Errorf("half an archive:\n%s", text)
	}
}
