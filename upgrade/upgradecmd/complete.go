package upgradecmd

import (
	"os"
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
