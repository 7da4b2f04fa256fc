package upgradecmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
)

func (t *tree) pack() *cobra.Command {
	cmd := leaf("pack --version V --counter N --out FILE DIR|FILES...", "Make an archive from built programs",
		`Make an archive of the files in DIR, which holds bin/<os>/<arch>/<name>, or is
that bin itself; or of FILES that lie so, or are given as NAME=FILE, NAME being
the name in the archive. The same input makes the same bytes. What comes out is
not signed.`)
	f := cmd.Flags()
	f.String("product", t.Product, "product that the archive is a release of")
	f.String("version", "", "version of the release")
	f.Uint64("counter", 0, "number that grows with every release, whatever its version")
	f.String("expires", "", "day after which no server takes it any more: 2027-02-01, a time (RFC 3339), or 90d from now")
	f.String("format", "", "zip or tar.gz; by the name of --out if not given")
	f.String("out", "", "file to write")
	f.Bool("stored", false, "do not compress: larger to send, faster to stage")
	for _, name := range []string{"product", "version", "counter", "expires"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	_ = cmd.RegisterFlagCompletionFunc("format", fixed(string(archive.Zip), string(archive.TarGzip)))
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	cmd.RunE = t.verb(false, runPack)
	return cmd
}

type packResult struct {
	File     string          `json:"file"`
	Packed   int             `json:"packed"`
	Unsigned bool            `json:"unsigned"`
	Release  archive.Release `json:"release"`
}

func runPack(ctx context.Context, s *session, args []string) error {
	config, out, err := packConfig(s, args)
	if err != nil {
		return err
	}
	s.ifLeft("Nothing was written.")
	s.reporter.doing("packing")
	var release archive.Release
	err = writeFile(out, 0o644, func(w io.Writer) (err error) {
		release, err = archive.Pack(&contextWriter{ctx, w}, config)
		return err
	})
	if err != nil {
		return err
	}
	s.reporter.doing("")
	s.document(packResult{out, len(config.Files), true, release}, func() []string {
		v := s.outView(0)
		text := fmt.Sprintf("%s, %s, %s, sha256 %s; NOT signed yet", plural(len(config.Files), "file"),
			platformsText(release), sizeText(release.Size), shortDigest(string(release.Archive), 6, 4))
		return []string{v.step("packed", text), "Sign it:  " + v.hint("sign", "--key", "KEY", fileWord(out))}
	})
	return nil
}

func packConfig(s *session, args []string) (c archive.PackConfig, out string, err error) {
	c.Manifest.Product = flagText(s.cmd, "product")
	c.Manifest.Version = flagText(s.cmd, "version")
	c.Manifest.Counter, _ = s.cmd.Flags().GetUint64("counter")
	c.Stored = flagBool(s.cmd, "stored")
	out = flagText(s.cmd, "out")
	for _, need := range []struct{ name, value string }{
		{"product", c.Manifest.Product}, {"version", c.Manifest.Version}, {"out", out},
	} {
		if need.value == "" {
			return c, out, usagef("--%s is needed", need.name)
		}
	}
	if !s.cmd.Flags().Changed("counter") {
		return c, out, usagef("--counter is needed: a number greater than that of the release before")
	}
	if len(args) == 0 {
		return c, out, usagef("give the directory that holds bin/<os>/<arch>/<name>, or the files")
	}
	if text := flagText(s.cmd, "expires"); text != "" {
		if c.Manifest.Expires, err = parseExpiry(text, time.Now()); err != nil {
			return c, out, err
		}
	}
	switch format := flagText(s.cmd, "format"); format {
	case string(archive.Zip), string(archive.TarGzip):
		c.Format = archive.Format(format)
	case "":
		c.Format = archive.Zip
		if lower := strings.ToLower(out); strings.HasSuffix(lower, ".tgz") || strings.HasSuffix(lower, ".tar.gz") {
			c.Format = archive.TarGzip
		}
	default:
		return c, out, usagef("the format %s is neither zip nor tar.gz", quote(format))
	}
	for _, arg := range args {
		files, err := packFiles(arg)
		if err != nil {
			return c, out, err
		}
		c.Files = append(c.Files, files...)
	}
	return c, out, nil
}

// packFiles returns the files that one argument stands for.
func packFiles(arg string) ([]archive.PackFile, error) {
	if name, file, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(name, "bin/") {
		return []archive.PackFile{{Name: name, Path: file}}, nil
	}
	info, err := os.Stat(arg)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	full, err := filepath.Abs(arg)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if info.IsDir() {
		files, err := archive.FilesIn(os.DirFS(arg))
		if err != nil {
			return nil, err
		}
		if inside, err := os.Stat(filepath.Join(arg, "bin")); filepath.Base(full) == "bin" && (err != nil || !inside.IsDir()) {
			for i := range files {
				files[i].Name = path.Join("bin", files[i].Name)
			}
		}
		return files, nil
	}
	slashed := filepath.ToSlash(full)
	i := strings.LastIndex(slashed, "/bin/")
	if i < 0 {
		return nil, usagef("where %s belongs in the archive cannot be told from its path\nSay it:  bin/<os>/<arch>/%s=%s",
			clean(arg), clean(filepath.Base(arg)), clean(arg))
	}
	return []archive.PackFile{{Name: slashed[i+1:], Path: arg, Executable: info.Mode()&0o111 != 0}}, nil
}

// parseExpiry reads a day, a time, or a number of days from now. A day counts to
// its end.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if day, err := time.Parse("2006-01-02", text); err == nil {
		return day.Add(24*time.Hour - time.Second), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); err == nil && n == 1 && days > 0 && text == fmt.Sprintf("%dd", days) {
		return now.UTC().Truncate(time.Second).AddDate(0, 0, days), nil
	}
	return time.Time{}, usagef("--expires %s is no day (2027-02-01), time (RFC 3339) or number of days (90d)", quote(text))
}

// A contextWriter stops when its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w *contextWriter) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.w.Write(p)
}

// writeFile makes a file, or replaces one, so that its name never stands for a
// part of it. After an error nothing is left.
func writeFile(name string, mode os.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
