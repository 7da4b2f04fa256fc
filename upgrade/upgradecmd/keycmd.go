package upgradecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/leaderlast/leaderlast/archive"
)

func (t *tree) keygen() *cobra.Command {
	cmd := leaf("keygen --out NAME", "Make a key that signs archives",
		`Make NAME.key, which signs, and NAME.pub, which servers are given to check what
it signed. Both are as minisign writes them. The key is encrypted with a
password, asked for or read from a file, unless --no-password says otherwise.
Files that are there already are never overwritten.`)
	cmd.Flags().String("out", "", "name of the files, without .key and .pub")
	cmd.Flags().Bool("no-password", false, "do not encrypt the key; then its file is all it takes to sign")
	addPassword(cmd)
	cmd.RunE = t.verb(false, runKeygen)
	return cmd
}

func addPassword(cmd *cobra.Command) {
	cmd.Flags().String("password-file", "", "file with the password of the key; nobody else may read it")
}

type keyResult struct {
	ID     string `json:"id"`
	Key    string `json:"key"`
	Public string `json:"public"`
	Text   string `json:"public_text"`
}

func runKeygen(ctx context.Context, s *session, args []string) error {
	name := flagText(s.cmd, "out")
	if name == "" || len(args) > 0 {
		return usagef("give --out NAME; NAME.key and NAME.pub are written")
	}
	s.ifLeft("No key was written.")
	for _, file := range []string{name + ".key", name + ".pub"} {
		if _, err := os.Lstat(file); err == nil {
			return refuseOverwrite(file)
		}
	}
	password, err := newPassword(ctx, s)
	if err != nil {
		return err
	}
	s.reporter.doing("making a key")
	key, err := archive.GenerateKey()
	if err != nil {
		return err
	}
	text, err := key.Text(password)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := writeNew(name+".key", 0o600, text); err != nil {
		return err
	}
	if err := writeNew(name+".pub", 0o644, key.Public().Text()); err != nil {
		os.Remove(name + ".key") // made a moment ago by this very command
		return err
	}
	s.reporter.doing("")
	s.document(keyResult{key.ID(), name + ".key", name + ".pub", key.Public().String()}, func() []string {
		v := s.outView(0)
		return []string{
			v.step("wrote", clean(name)+".key (mode 0600, keep it offline) and "+clean(name)+".pub"),
			"Key " + key.ID() + ". Sign with it:  " + v.hint("sign", "--key", name+".key", "FILE"),
		}
	})
	return nil
}

func refuseOverwrite(file string) error {
	return &os.PathError{Op: "make a key in", Path: file, Err: fmt.Errorf("%w; a key that is lost cannot be made again, so give another --out", os.ErrExist)}
}

// writeNew makes a file that was not there.
func writeNew(name string, mode os.FileMode, text string) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return refuseOverwrite(name)
	}
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	_, err = io.WriteString(f, text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(name)
		return fmt.Errorf("make a key: %w", err)
	}
	return nil
}

// newPassword asks for the password of a new key, twice; "" is none.
func newPassword(ctx context.Context, s *session) (string, error) {
	file := flagText(s.cmd, "password-file")
	switch {
	case flagBool(s.cmd, "no-password") && file != "":
		return "", usagef("--no-password and --password-file contradict each other")
	case flagBool(s.cmd, "no-password"):
		return "", nil
	case file != "":
		return readSecret(file)
	case !s.asks():
		return "", usagef("there is no terminal to ask for a password on\nGive one:  %s\nOr none:   %s",
			s.tree.hint(s.cmd, "keygen", "--out", flagText(s.cmd, "out"), "--password-file", "FILE"),
			s.tree.hint(s.cmd, "keygen", "--out", flagText(s.cmd, "out"), "--no-password"))
	}
	first, err := s.askSecret(ctx, "Password for the new key: ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", usagef("the password is empty; to make a key without one:  %s",
			s.tree.hint(s.cmd, "keygen", "--out", flagText(s.cmd, "out"), "--no-password"))
	}
	second, err := s.askSecret(ctx, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", usagef("the two passwords differ; no key was written")
	}
	return first, nil
}

func (t *tree) sign() *cobra.Command {
	cmd := leaf("sign --key FILE ARCHIVE", "Sign an archive",
		`Add the signature of a key to an archive, or replace the one it made before.
What is signed is checked first. The archive is replaced as a whole, or with
--out a new one is written. minisign can check the signature, and its keys can
be used.`)
	cmd.Flags().String("key", "", "file of the key that signs; nobody else may read it")
	cmd.Flags().String("out", "", "file to write in place of ARCHIVE")
	addPassword(cmd)
	cmd.ValidArgsFunction = completeArchive
	cmd.RunE = t.verb(false, runSign)
	return cmd
}

type signResult struct {
	File     string           `json:"file"`
	Key      string           `json:"key"`
	Manifest archive.Manifest `json:"manifest"`
}

func runSign(ctx context.Context, s *session, args []string) error {
	if len(args) != 1 || flagText(s.cmd, "key") == "" {
		return usagef("give --key FILE and one archive to sign")
	}
	file, err := openArchive(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	s.ifLeft("The archive is as it was.")
	key, err := readKey(ctx, s, flagText(s.cmd, "key"))
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	out := flagText(s.cmd, "out")
	if out == "" {
		out = args[0]
	}
	s.reporter.doing("signing")
	err = writeFile(out, info.Mode().Perm(), func(w io.Writer) error {
		return archive.Sign(&contextWriter{ctx, w}, file, file.size, key, "")
	})
	if err != nil {
		return err
	}
	manifest := file.manifest()
	s.reporter.doing("")
	s.document(signResult{out, key.ID(), manifest}, func() []string {
		return []string{s.outView(0).step("signed", "by "+key.ID()+", "+validText(manifest))}
	})
	return nil
}

// readKey reads a key that signs, and asks for its password if it has one.
func readKey(ctx context.Context, s *session, file string) (archive.PrivateKey, error) {
	text, err := readSecret(file)
	if err != nil {
		return archive.PrivateKey{}, err
	}
	password := ""
	if from := flagText(s.cmd, "password-file"); from != "" {
		if password, err = readSecret(from); err != nil {
			return archive.PrivateKey{}, err
		}
	}
	s.reporter.doing("reading the key")
	key, err := archive.ParsePrivateKey(text, password)
	if !errors.Is(err, archive.ErrPassword) || password != "" {
		return key, err
	}
	if !s.asks() {
		return key, usagef("the key has a password, and there is no terminal to ask for it on: give --password-file FILE")
	}
	s.reporter.doing("")
	if password, err = s.askSecret(ctx, "Password of "+clean(file)+": "); err != nil {
		return key, err
	}
	s.reporter.doing("decrypting the key")
	return archive.ParsePrivateKey(text, password)
}
