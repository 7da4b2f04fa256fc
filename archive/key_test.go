package archive_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaderlast/leaderlast/archive"
)

func TestKeys(t *testing.T) {
	k := newKey(t)
	if len(k.ID()) != 16 || k.ID() != k.Public().ID() || strings.ToUpper(k.ID()) != k.ID() {
		t.Errorf("id %q", k.ID())
	}
	for what, text := range map[string]string{"line": k.Public().String(), "file": k.Public().Text(), "file, CRLF": strings.ReplaceAll(k.Public().Text(), "\n", "\r\n")} {
		if back, err := archive.ParsePublicKey(text); err != nil || back != k.Public() {
			t.Errorf("%s: %v, %v", what, back, err)
		}
	}
	text, err := k.Text("")
	if err != nil {
		t.Fatal(err)
	}
	if back, err := archive.ParsePrivateKey(text, ""); err != nil || back.Public() != k.Public() {
		t.Errorf("private key: %v, %v", back, err)
	}
	secret := strings.Fields(text)[len(strings.Fields(text))-1]
	if s := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(s, secret) || strings.Count(s, k.ID()) != 4 {
		t.Errorf("printed: %s", s)
	}
	for what, bad := range map[string]string{
		"nothing": "", "comment alone": "untrusted comment: x\n", "text": "hello", "private": text,
		"cut off": k.Public().String()[:40], "two": k.Public().String() + "\n" + k.Public().String(),
	} {
		_, err := archive.ParsePublicKey(bad)
		wantReason(t, err, archive.BadKey)
		if err == nil {
			t.Errorf("%s is taken for a public key", what)
		}
	}
	damaged := []byte(strings.TrimSpace(text))
	for i := range 8 { // inside the public half
		damaged[len(damaged)-80+i] = 'A'
	}
	for what, bad := range map[string]string{"nothing": "", "text": "hello", "public": k.Public().Text(), "damaged": string(damaged)} {
		_, err := archive.ParsePrivateKey(bad, "")
		wantReason(t, err, archive.BadKey)
		if err == nil {
			t.Errorf("%s is taken for a private key", what)
		}
	}
	_, err = archive.ParsePrivateKey(text, "password")
	wantReason(t, err, archive.BadKey)
	_, err = archive.PrivateKey{}.Text("")
	wantReason(t, err, archive.BadKey)
}

// Keys go back and forth between minisign and this package.
func TestMinisignKeys(t *testing.T) {
	minisign := needTool(t, "minisign")
	dir := t.TempDir()
	b, _ := pack(t, packConfig(t, archive.Zip, false))
	const password = "a pass word"
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	parse := func(name, password string) archive.PrivateKey {
		k, err := archive.ParsePrivateKey(read(name), password)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	verify := func(k archive.PrivateKey) {
		t.Helper()
		signed := sign(t, b, k, "")
		key, err := archive.ParsePublicKey(k.Public().Text())
		if err != nil {
			t.Fatal(err)
		}
		_, err = checkBytes(t, signed, archive.Policy{Keys: []archive.PublicKey{key}})
		wantReason(t, err, "")
	}

	mustRun(t, dir, "", minisign, "-GW", "-p", "plain.pub", "-s", "plain.key")
	passwords := map[string]string{"plain": ""}
	if !testing.Short() { // each use of a password takes seconds, on purpose
		passwords["locked"] = password
		mustRun(t, dir, password+"\n"+password+"\n", minisign, "-G", "-p", "locked.pub", "-s", "locked.key")
		for _, wrong := range []string{"", "wrong"} {
			if _, err := archive.ParsePrivateKey(read("locked.key"), wrong); !errors.Is(err, archive.ErrPassword) {
				t.Errorf("password %q: %v", wrong, err)
			}
		}
	}
	for name, password := range passwords {
		k := parse(name+".key", password)
		pub, err := archive.ParsePublicKey(read(name + ".pub"))
		if err != nil || pub != k.Public() {
			t.Errorf("%s: public key %v, %v", name, pub, err)
		}
		verify(k)
	}
	ours := newKey(t)
	for _, password := range passwords {
		text, err := ours.Text(password)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "ours.key"), []byte(text))
		writeFile(t, filepath.Join(dir, "sha256sums"), []byte("some sums\n"))
		mustRun(t, dir, password+"\n", minisign, "-Sm", "sha256sums", "-s", "ours.key")
		mustRun(t, dir, "", minisign, "-Vm", "sha256sums", "-P", ours.Public().String())
	}

	// What minisign signs, Check accepts; its legacy form not.
	k := parse("plain.key", "")
	sums := sumsOf(map[string]string{program: server, "manifest.json": `{"product":"server","version":"1"}`})
	for flag, reason := range map[string]string{"-H": "", "-l": archive.BadSignature} {
		writeFile(t, filepath.Join(dir, "sha256sums"), []byte(sums))
		mustRun(t, dir, "", minisign, "-S", flag, "-m", "sha256sums", "-s", "plain.key")
		signed := genZip([]zipFile{{name: "sha256sums", content: sums}, {name: "sha256sums.minisig", content: read("sha256sums.minisig")},
			{name: "manifest.json", content: `{"product":"server","version":"1"}`}, {name: program, content: server}}, zipEnd{})
		_, err := checkBytes(t, signed, archive.Policy{Keys: []archive.PublicKey{k.Public()}})
		wantReason(t, err, reason)
	}
}
