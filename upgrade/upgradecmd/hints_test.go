package upgradecmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	shellquote "github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var keyID = regexp.MustCompile(`\b[0-9A-F]{16}\b`)

// goldens are all recorded outputs by name.
func goldens(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(here, "testdata", "golden", "*.txt"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	texts := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = string(data)
	}
	return texts
}

// Every command that is printed can be typed: it is found, and takes its flags.
func TestPrintedCommands(t *testing.T) {
	printed := regexp.MustCompile(`provd upgrade [^"\n]*`)
	seen := map[string]bool{}
	for name, text := range goldens(t) {
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "$ ") || strings.Contains(line, "provd upgrade [") || strings.HasPrefix(line, "{") {
				continue
			}
			found := printed.FindString(line)
			if found == "" {
				continue
			}
			found, _, _ = strings.Cut(found, "   ") // what is said about it
			if seen[found] {
				continue
			}
			seen[found] = true
			words, err := shellquote.Split(found)
			if err != nil {
				t.Errorf("%s: %q: %v", name, found, err)
				continue
			}
			if err := takes(words[1:]); err != nil {
				t.Errorf("%s: %q: %v", name, found, err)
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d commands are printed: %v", len(seen), seen)
	}
	if takes([]string{"upgrade", "status", "--wacth"}) == nil || takes([]string{"upgrade", "comit"}) == nil {
		t.Error("the test takes commands that do not exist")
	}
}

// takes runs a command with --help, and makes sure that its words are all
// understood.
func takes(words []string) error {
	root := &cobra.Command{Use: "provd"}
	root.AddCommand(New(Config{Product: "provd"}))
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if args := cmd.Flags().Args(); cmd.Name() == "upgrade" && len(args) > 0 && args[0] != "FILE" && !isArchiveName(args[0]) {
		return usagef("no such command")
	}
	root.SetArgs(append(words, "--help"))
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	if err := root.ExecuteContext(context.Background()); err != nil {
		return err
	}
	if !strings.Contains(out.String(), "Usage:") {
		return usagef("no help: %s", out.String())
	}
	return nil
}

// All characters are one column wide everywhere: East Asian width neutral or
// narrow. That is ASCII and the two signs.
func TestWidths(t *testing.T) {
	for name, text := range goldens(t) {
		for i, line := range strings.Split(text, "\n") {
			for _, r := range line {
				if (r < ' ' || r > '~') && r != '✓' && r != '✗' {
					t.Errorf("%s, line %d: %q", name, i+1, r)
				}
			}
			limit := 80
			if strings.Contains(name, "wide") || strings.Contains(name, "120") {
				limit = 120
			}
			stdout := !strings.Contains(text, "-- stdout") && !strings.Contains(text, "-- stderr")
			if stdout && width(line) > limit && !strings.HasPrefix(line, "$ ") {
				t.Errorf("%s, line %d: %d columns", name, i+1, width(line))
			}
		}
	}
}

// What leads to a server is part of the commands that are printed.
func TestHintFlags(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "my token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, setup{script: "alone-staged", width: 300, args: []string{"upgrade", "status", "--endpoint", "https://10.0.0.11:8092", "--token-file", token}})
	want := "Start it:  provd upgrade start --endpoint https://10.0.0.11:8092 --token-file '" + token + "'"
	if text := r.text(); r.code != CodeOK || !strings.Contains(text, want) {
		t.Errorf("exit code %d, want %s in\n%s", r.code, want, text)
	}
	if len(r.server.tokens) == 0 || r.server.tokens[0] != "Bearer s3cret" {
		t.Errorf("the server got %q", r.server.tokens)
	}
	if err := os.Chmod(token, 0o640); err != nil {
		t.Fatal(err)
	}
	r = run(t, setup{script: "alone-staged", width: 120, args: []string{"upgrade", "status", "--token-file", token}})
	if text := r.text(); r.code != CodeError || !strings.Contains(text, "others may read it, mode 0640") || strings.Contains(text, "s3cret") {
		t.Errorf("exit code %d\n%s", r.code, text)
	}
}

// The environment counts where no flag does, and the host where neither.
func TestEnvironment(t *testing.T) {
	env := map[string]string{"PROVD_OUTPUT": "json", "PROVD_ENDPOINTS": "https://10.0.0.12:8092  https://10.0.0.13:8092", "PROVD_TIMEOUT": "1h"}
	prefix := func(c *Config) { c.EnvPrefix = "PROVD_" }
	r := run(t, setup{script: "cluster-working", env: env, config: prefix, args: []string{"upgrade", "status"}})
	if out := r.out.String(); !strings.HasPrefix(out, "{") || !strings.Contains(out, `"observed_by": "m2"`) {
		t.Errorf("the environment does not count:\n%s", out)
	}
	r = run(t, setup{script: "cluster-working", env: env, config: prefix, args: []string{"upgrade", "status", "-o", "text", "--endpoint", "https://10.0.0.13:8092"}})
	if out := r.out.String(); !strings.HasPrefix(out, "status=working") {
		t.Errorf("the flag does not go before the environment:\n%s", out)
	}
	for name, value := range map[string]string{"PROVD_OUTPUT": "yaml", "PROVD_PROGRESS": "loud", "PROVD_TIMEOUT": "soon"} {
		r = run(t, setup{script: "cluster-working", env: map[string]string{name: value}, config: prefix, args: []string{"upgrade", "status"}})
		if r.code != CodeUsage || !strings.Contains(r.err.String(), value) {
			t.Errorf("%s=%s: exit code %d\n%s", name, value, r.code, r.text())
		}
	}
	none := func(c *Config) { c.Endpoints = nil }
	r = run(t, setup{script: "cluster-working", config: none, args: []string{"upgrade", "status"}})
	if r.code != CodeUsage || !strings.Contains(r.err.String(), "LEADERLAST_ENDPOINTS") {
		t.Errorf("without an endpoint: exit code %d\n%s", r.code, r.text())
	}
}

// Every command has a use, a short and a long text, and every flag an explanation.
func TestHelp(t *testing.T) {
	group := New(Config{})
	for _, cmd := range append(group.Commands(), group) {
		if cmd.Short == "" || cmd.Long == "" || cmd.RunE == nil {
			t.Errorf("%s lacks a text", cmd.Name())
		}
		for _, line := range strings.Split(cmd.Long, "\n") {
			if len(line) > 80 {
				t.Errorf("%s: a line of %d columns: %s", cmd.Name(), len(line), line)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s lacks a text", cmd.Name(), f.Name)
			}
		})
	}
}
