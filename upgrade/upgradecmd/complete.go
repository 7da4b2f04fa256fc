package upgradecmd

import (
	"strings"

	"github.com/spf13/cobra"
)

// fixed completes a flag with one of a few words.
func fixed(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

var archiveEndings = [...]string{".zip", ".tgz", ".tar.gz"}

// completeArchive completes one argument with archives only.
func completeArchive(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"zip", "tgz", "tar.gz"}, cobra.ShellCompDirectiveFilterFileExt
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
