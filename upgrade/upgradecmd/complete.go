package upgradecmd

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/upgrade"
	"github.com/leaderlast/leaderlast/upgrade/httpapi"
)

// fixed completes a flag with one of a few words.
func fixed(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// completeMembers completes with the names of the members that may be meant, if a
// server says within a second which there are.
func (t *tree) completeMembers(meant func(upgrade.StatusMember) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, time.Second)
		defer cancel()
		found := make(chan []string, 1)
		go func() { found <- t.members(ctx, cmd, word, meant) }()
		select {
		case names := <-found:
			return names, cobra.ShellCompDirectiveNoFileComp
		case <-ctx.Done(): // a login of the host may not look
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

func (t *tree) members(ctx context.Context, cmd *cobra.Command, word string, meant func(upgrade.StatusMember) bool) []string {
	o, err := t.options(cmd)
	if err != nil || len(o.endpoints) == 0 {
		return nil
	}
	config, err := t.reach(ctx, o, Target{Endpoints: o.endpoints, Completing: true})
	if err != nil {
		return nil
	}
	config.Retries = -1
	c, err := httpapi.NewClient(config)
	if err != nil {
		return nil
	}
	s, err := c.Status(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range s.Members {
		if name := clean(m.ID); name == m.ID && strings.HasPrefix(name, word) && meant(m) {
			names = append(names, name+"\t"+clean(m.Role+" "+m.Version))
		}
	}
	return names
}

var archiveEndings = [...]string{".zip", ".tgz", ".tar.gz"}

// completeArchive completes one argument with archives only.
func completeArchive(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"zip", "tgz", "tar.gz"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeGroup completes the word after the group: a verb, which cobra adds, or an
// archive. A shell takes what comes with a filter for endings for one of them, so
// a word that may still become a verb gets the archives by name.
func completeGroup(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || strings.ContainsAny(word, `/\`) {
		return completeArchive(cmd, args, word)
	}
	var names []string
	files, err := os.ReadDir(".")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, f := range files {
		if name := f.Name(); strings.HasPrefix(name, word) && isArchiveName(name) && !f.IsDir() {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// isArchiveName reports whether a word can only mean a file: it has a slash in
// it, or ends as archives do. Everything else is a verb, known or not.
func isArchiveName(word string) bool {
	if strings.ContainsAny(word, `/\`) {
		return true
	}
	for _, end := range archiveEndings {
		if strings.HasSuffix(strings.ToLower(word), end) && len(word) > len(end) {
			return true
		}
	}
	return false
}

// fileWord writes the name of a file so that the group takes it for one.
func fileWord(name string) string {
	if isArchiveName(name) {
		return name
	}
	return "./" + name
}
