package upgradecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
)

func (t *tree) inspect() *cobra.Command {
	cmd := leaf("inspect ARCHIVE", "See what is in an archive, and whether a server would take it",
		`Check an archive as a server does, with the keys given by --pub: every file
against its digest, the layout, the manifest, the signature. Exit code 0 means
that a server with these keys would take it; 3 that it would refuse the archive
for what it is, 6 for who signed it. Without --pub signatures are listed, but
not checked.`)
	cmd.Flags().StringArray("pub", nil, "file of a public key that is trusted; may be repeated")
	cmd.Flags().String("program", "", "name of the server's program in the archive; found out if not given")
	cmd.ValidArgsFunction = completeArchive
	_ = cmd.RegisterFlagCompletionFunc("program", cobra.NoFileCompletions)
	cmd.RunE = t.verb(false, runInspect)
	return cmd
}

type inspectResult struct {
	File       string          `json:"file"`
	Program    string          `json:"program"`
	Checked    bool            `json:"signatures_checked"`
	Signatures []string        `json:"signatures"` // ids of the keys they are by
	Release    archive.Release `json:"release"`
}

func runInspect(ctx context.Context, s *session, args []string) error {
	if len(args) != 1 {
		return usagef("give one archive to inspect")
	}
	policy := archive.Policy{Product: s.Product}
	for _, name := range flagList(s.cmd, "pub") {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the public key: %w", err)
		}
		key, err := archive.ParsePublicKey(string(text))
		if err != nil {
			return fmt.Errorf("read the public key %s: %w", name, err)
		}
		policy.Keys = append(policy.Keys, key)
	}
	checked := len(policy.Keys) > 0
	policy.AllowUnsigned = !checked
	file, err := openArchive(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	if policy.Product == "" {
		policy.Product = file.manifest().Product
	}
	if policy.Product == "" {
		policy.Product = "unknown" // no manifest: CheckHead says so, or that it needs none
	}
	policy.Program, policy.Platforms = file.program(flagText(s.cmd, "program"), s.path())
	s.reporter.doing("checking " + clean(args[0]))
	release, err := file.check(ctx, policy)
	if err != nil {
		return err
	}
	s.reporter.doing("")
	r := inspectResult{args[0], policy.Program, checked, file.head.Signers(), release}
	s.document(r, func() []string { return inspectText(s.outView(0), r) })
	return nil
}

func inspectText(v view, r inspectResult) []string {
	signed := signedText(r.Signatures, false)
	switch {
	case r.Checked:
		signed = signedText(r.Release.SignedBy, false)
	case len(r.Signatures) > 0:
		signed += " (not checked: give --pub)"
	}
	head := releaseText(r.Release)
	if r.Release.Manifest.Counter > 0 {
		head += fmt.Sprintf("  counter %d", r.Release.Manifest.Counter)
	}
	head += "  " + signed + "  layout ok"
	if m := r.Release.Manifest; !m.Expires.IsZero() {
		head += "  " + validText(m)
	}
	t := table{right: map[int]bool{1: true}}
	for _, f := range r.Release.Files {
		role := "other"
		switch {
		case f.Platform.OS != "" && path.Base(f.Name) == r.Program:
			role = "server"
		case f.Platform.OS != "":
			role = "companion"
		}
		t.add("  "+clean(f.Name), sizeText(f.Size), shortDigest(string(f.Digest), 6, 4), role)
	}
	return append(wrap("", "  ", head, v.width), t.lines()...)
}

// manifest returns what the archive says of itself, unchecked.
func (a *archiveFile) manifest() archive.Manifest {
	var m archive.Manifest
	if json.NewDecoder(bytes.NewReader(a.head.Manifest)).Decode(&m) != nil {
		return archive.Manifest{}
	}
	return m
}

// program finds out which program an archive is for, and for which platforms: the
// one that was asked for, else the one that this command is part of, else the
// first one that is there for the most platforms.
func (a *archiveFile) program(asked, mine string) (string, []archive.Platform) {
	platforms := map[string][]archive.Platform{}
	for name := range a.head.Sizes {
		parts := strings.Split(name, "/")
		if parts[0] != "bin" || len(parts) != 4 && len(parts) != 5 {
			continue
		}
		p := archive.Platform{OS: parts[1], Arch: parts[2]}
		if len(parts) == 5 {
			p.Variant = parts[3]
		}
		base := parts[len(parts)-1]
		platforms[base] = append(platforms[base], p)
	}
	program := asked
	if program == "" {
		program, _, _ = strings.Cut(mine, " ")
	}
	if platforms[program] == nil && asked == "" {
		for base, has := range platforms {
			if best := len(platforms[program]); len(has) > best || len(has) == best && base < program {
				program = base
			}
		}
	}
	list := platforms[program]
	if list == nil { // for a program that is missing everywhere, CheckHead says where
		for _, has := range platforms {
			list = append(list, has...)
		}
	}
	slices.SortFunc(list, func(x, y archive.Platform) int { return strings.Compare(x.String(), y.String()) })
	return program, slices.Compact(list)
}

// check unpacks the archive as a server does, into a directory that is removed
// again.
func (a *archiveFile) check(ctx context.Context, p archive.Policy) (archive.Release, error) {
	if len(p.Platforms) == 0 {
		return archive.Release{}, &archive.Error{Reason: archive.NoPlatform, Detail: "there is no program in it, no bin/<os>/<arch>/<name>"}
	}
	dir, err := os.MkdirTemp("", "inspect-*")
	if err != nil {
		return archive.Release{}, fmt.Errorf("inspect: %w", err)
	}
	defer os.RemoveAll(dir)
	v, err := archive.Check(ctx, &scratch{dir, a}, a.digest, p)
	if err != nil {
		return archive.Release{}, err
	}
	return v.Release(), nil
}
