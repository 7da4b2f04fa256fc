package upgradecmd

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	shellquote "github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// A Config adapts the commands to the program that carries them. The zero Config
// works: it takes endpoints and tokens from flags and environment alone.
type Config struct {
	// Name of the group of commands; "upgrade" if empty.
	Name string

	// Program is what operators type to run the program. It begins every command
	// that is printed for them. If empty it is the name of the root command, or
	// the base name of os.Args[0] where the group is itself the root.
	Program string

	// Product that archives must be for, and that pack writes into them unless
	// told otherwise. If empty, inspect takes any and pack insists on --product.
	Product string

	// Endpoints are servers, such as https://127.0.0.1:8092, to be tried in order
	// when neither a flag nor the environment names any.
	Endpoints []string

	// EnvPrefix begins the names of the environment variables that are read:
	// LEADERLAST_ENDPOINTS and so on if empty.
	EnvPrefix string

	// Connect says how to reach a server. It is where the host logs in, and sets
	// up TLS and the prefix that the handler is mounted under; Refresh of what it
	// returns gets fresh credentials when a server that restarted does not accept
	// the old ones. It is called once for each command that needs a server, and
	// must not write to stdout. If nil, the endpoints are taken as they are, and
	// the token of --token-file, if any, is sent as a bearer token.
	Connect func(ctx context.Context, t Target) (httpapi.ClientConfig, error)

	machine *machine // replaces the real one in tests
}

// A Target is what a command was told about the server it should speak to.
type Target struct {
	Endpoints []string // never empty
	Token     string   // from --token-file; "" if there was none

	// Completing says that a shell completes a word: nobody may be asked for
	// anything, and the answer counts for one second.
	Completing bool
}

// New returns the group of commands. The caller mounts it into its own tree with
// AddCommand, or executes it as it is. The group brings the persistent flags
// --endpoint, --token-file, --output (-o), --progress, --timeout, --yes and
// --no-color, which must not be persistent flags of a parent as well.
func New(c Config) *cobra.Command {
	if c.Name == "" {
		c.Name = "upgrade"
	}
	if c.EnvPrefix == "" {
		c.EnvPrefix = "LEADERLAST_"
	}
	t := &tree{Config: c, machine: thisMachine()}
	if c.machine != nil {
		t.machine = *c.machine
	}
	group := t.group()
	t.root = group
	group.AddCommand(
		t.check(), t.plan(),
		t.pack(), t.keygen(), t.sign(), t.inspect(),
		t.stage(), t.start(), t.status(), t.pause(), t.resume(), t.retry(),
		t.rollback(), t.commit(), t.unstage(),
	)
	return group
}

// A tree is a group of commands and what they share.
type tree struct {
	Config
	machine
	root *cobra.Command
}

// path is how the group is typed: "provd upgrade".
func (t *tree) path() string {
	path := t.root.CommandPath()
	if !t.root.HasParent() {
		program := t.Program
		if program == "" {
			program = filepath.Base(os.Args[0])
		}
		return program
	}
	if t.Program != "" {
		if _, rest, ok := strings.Cut(path, " "); ok {
			return t.Program + " " + rest
		}
	}
	return path
}

// typed is how a command of the group is typed.
func (t *tree) typed(cmd *cobra.Command) string {
	return t.path() + strings.TrimPrefix(cmd.CommandPath(), t.root.CommandPath())
}

// hint writes a command of the group so that it can be pasted as it stands: with
// the flags that led this command to its server.
func (t *tree) hint(cmd *cobra.Command, words ...string) string {
	for _, name := range []string{"endpoint", "token-file"} {
		flag := cmd.Flags().Lookup(name)
		if flag == nil || !flag.Changed || local(words) || slices.Contains(words, "--"+name) {
			continue
		}
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(interface{ GetSlice() []string }); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			words = append(words, "--"+name, v)
		}
	}
	if begins(words[0]) {
		words = append(words, chosen(cmd, words)...)
	}
	for i, w := range words {
		words[i] = clean(w)
	}
	return t.path() + " " + shellquote.Join(words...)
}

// begins reports whether a command begins a run, or says what that would be like.
func begins(word string) bool {
	switch word {
	case "check", "plan", "start", "retry":
		return true
	}
	return isArchiveName(word)
}

// chosen are the flags by which the operator goes on all the same, without those
// that stand among the words already.
func chosen(cmd *cobra.Command, there []string) (words []string) {
	for _, id := range flagList(cmd, "skip-check") {
		if !slices.Contains(there, id) && !slices.Contains(words, id) {
			words = append(words, "--skip-check", id)
		}
	}
	if flagBool(cmd, "allow-outage") {
		words = append(words, "--allow-outage")
	}
	return words
}

// local reports whether a command speaks to no server.
func local(words []string) bool {
	switch words[0] {
	case "pack", "keygen", "sign", "inspect":
		return true
	}
	return false
}
