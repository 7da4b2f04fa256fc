package upgradecmd

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// options are the flags that every command has, after the environment and the
// host's defaults had their say.
type options struct {
	endpoints []string
	tokenFile string
	json      bool
	mode      string // of progress; never auto
	timeout   time.Duration
	yes       bool
	noColour  bool
}

func (t *tree) addFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringArray("endpoint", nil, "URL of the API; may be repeated, tried in order ("+t.EnvPrefix+"ENDPOINTS)")
	f.String("token-file", "", "file with the token to send; nobody else may read it")
	f.StringP("output", "o", "text", "text or json ("+t.EnvPrefix+"OUTPUT)")
	f.String("progress", modeAuto, "auto, tty, plain or none ("+t.EnvPrefix+"PROGRESS)")
	f.Duration("timeout", 0, "stop after this long; an upgrade goes on ("+t.EnvPrefix+"TIMEOUT)")
	f.Bool("yes", false, "answer questions with yes ("+t.EnvPrefix+"YES)")
	f.Bool("no-color", false, "no colours (NO_COLOR)")
	_ = cmd.RegisterFlagCompletionFunc("output", fixed("text", "json"))
	_ = cmd.RegisterFlagCompletionFunc("progress", fixed(modeAuto, modeTTY, modePlain, modeNone))
	_ = cmd.RegisterFlagCompletionFunc("endpoint", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions)
}

// setting returns a flag that was given, else the variable of the environment,
// else the default of the flag.
func (t *tree) setting(cmd *cobra.Command, flag, variable string) string {
	f := cmd.Flags().Lookup(flag)
	if !f.Changed {
		if v := t.getenv(t.EnvPrefix + variable); v != "" {
			return v
		}
	}
	return f.Value.String()
}

// options reads what holds for cmd. The streams are known by then but for colour.
func (t *tree) options(cmd *cobra.Command) (options, error) {
	var o options
	o.endpoints, _ = cmd.Flags().GetStringArray("endpoint")
	if len(o.endpoints) == 0 {
		o.endpoints = strings.Fields(t.getenv(t.EnvPrefix + "ENDPOINTS"))
	}
	if len(o.endpoints) == 0 {
		o.endpoints = t.Endpoints
	}
	o.tokenFile, _ = cmd.Flags().GetString("token-file")
	o.noColour, _ = cmd.Flags().GetBool("no-color")
	o.yes, _ = cmd.Flags().GetBool("yes")
	if !cmd.Flags().Changed("yes") {
		o.yes = yes(t.getenv(t.EnvPrefix + "YES"))
	}
	switch v := t.setting(cmd, "output", "OUTPUT"); v {
	case "text":
	case "json":
		o.json = true
	default:
		return o, usagef("the output %s is neither text nor json", quote(v))
	}
	v := t.setting(cmd, "timeout", "TIMEOUT")
	var err error
	if o.timeout, err = time.ParseDuration(v); err != nil || o.timeout < 0 {
		return o, usagef("the timeout %s is no duration such as 90s or 10m", quote(v))
	}
	o.mode = t.setting(cmd, "progress", "PROGRESS")
	stderr := t.stream(cmd.ErrOrStderr(), true)
	switch o.mode {
	case modeAuto:
		o.mode = modePlain
		if t.live(stderr) {
			o.mode = modeTTY
		}
	case modeTTY:
		if !stderr.tty {
			return o, usagef("--progress=tty needs a terminal, and stderr is none; use --progress=plain")
		}
	case modePlain, modeNone:
	default:
		return o, usagef("the progress %s is none of auto, tty, plain, none", quote(o.mode))
	}
	if o.json {
		o.mode = modeNone
	}
	return o, nil
}

// readSecret reads a file that holds a secret, and refuses one that others may
// read: by then it is not secret any more.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read the secret %s: others may read it, mode %04o: %w; make a new secret, then: chmod 600 %s",
			path, info.Mode().Perm(), fs.ErrPermission, path)
	}
	if info.Size() > 64<<10 {
		return "", fmt.Errorf("read the secret %s: %d bytes are no secret: %w", path, info.Size(), fs.ErrInvalid)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("read the secret %s: it is empty: %w", path, fs.ErrInvalid)
	}
	return text, nil
}
