package archive

import (
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// A PublicKey checks signatures; in the text form of minisign. PublicKeys can
// be compared with ==.
type PublicKey struct {
	id   string
	line string // base64, as parsed once
}

// ID returns the key id, 16 upper-case hexadecimal digits.
func (k PublicKey) ID() string { return k.id }

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k.line == "" }

// String returns the one line that ParsePublicKey and `minisign -P` read.
func (k PublicKey) String() string { return k.line }

// Text returns the content of a public key file.
func (k PublicKey) Text() string {
	return "untrusted comment: minisign public key " + k.id + "\n" + k.line + "\n"
}

func (k PublicKey) key() (minisign.PublicKey, error) {
	var key minisign.PublicKey
	err := key.UnmarshalText([]byte(k.line))
	return key, err
}

// ParsePublicKey reads a minisign public key: its file, or the one line of it.
func ParsePublicKey(text string) (PublicKey, error) {
	line := keyLine(text)
	k := PublicKey{line: line}
	if strings.ContainsAny(line, "\r\n") || line == "" {
		return PublicKey{}, refuse(BadKey, "", "a public key is one line of base64, with a comment line before it or without")
	}
	key, err := k.key()
	if err != nil {
		return PublicKey{}, &Error{Reason: BadKey, Detail: "this is not a minisign public key", Err: err}
	}
	return publicKey(key), nil
}

func publicKey(key minisign.PublicKey) PublicKey {
	return PublicKey{id: formatKeyID(key.ID()), line: key.String()}
}

// keyLine takes the comment line off.
func keyLine(text string) string {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "untrusted comment:") {
		_, text, _ = strings.Cut(text, "\n")
		text = strings.TrimSpace(text)
	}
	return text
}

func formatKeyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// A PrivateKey makes signatures. The zero PrivateKey makes none.
type PrivateKey struct {
	key minisign.PrivateKey
	set bool
}

// ErrPassword is wrapped by the error of ParsePrivateKey when a key is
// encrypted and the password is missing or wrong.
var ErrPassword = errors.New("wrong or missing password")

// GenerateKey makes a key from the random source of the system.
func GenerateKey() (PrivateKey, error) {
	_, key, err := minisign.GenerateKey(nil)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("archive: generate key: %w", err)
	}
	return PrivateKey{key: key, set: true}, nil
}

// ParsePrivateKey reads a minisign secret key file. The password is "" for a
// key that is not encrypted. Decrypting one takes a gigabyte of memory and some
// seconds: that is its protection.
func ParsePrivateKey(text, password string) (PrivateKey, error) {
	b := []byte(keyLine(text))
	if !minisign.IsEncrypted(b) {
		if password != "" {
			return PrivateKey{}, refuse(BadKey, "", "the private key is not encrypted, or not a minisign key; give no password")
		}
		var key minisign.PrivateKey
		if err := key.UnmarshalText(b); err != nil {
			return PrivateKey{}, &Error{Reason: BadKey, Detail: "this is not a minisign secret key", Err: err}
		}
		return checkPrivate(key)
	}
	if password == "" {
		return PrivateKey{}, &Error{Reason: BadKey, Detail: "the private key is encrypted", Err: ErrPassword}
	}
	key, err := minisign.DecryptKey(password, b)
	if err != nil {
		return PrivateKey{}, &Error{Reason: BadKey, Detail: "the private key cannot be decrypted", Err: ErrPassword}
	}
	return checkPrivate(key)
}

// checkPrivate refuses a key whose halves do not belong together: it would make
// signatures that nobody accepts.
func checkPrivate(key minisign.PrivateKey) (PrivateKey, error) {
	k := PrivateKey{key: key, set: true}
	pub, err := k.Public().key()
	probe := []byte("probe")
	if err != nil || !minisign.Verify(pub, probe, minisign.Sign(key, probe)) {
		return PrivateKey{}, refuse(BadKey, "", "the private key is damaged")
	}
	return k, nil
}

// IsZero reports whether k is no key.
func (k PrivateKey) IsZero() bool { return !k.set }

// Public returns the key that checks what k signs.
func (k PrivateKey) Public() PublicKey {
	if !k.set {
		return PublicKey{}
	}
	return publicKey(k.key.Public().(minisign.PublicKey))
}

// ID returns the key id, that of Public.
func (k PrivateKey) ID() string { return k.Public().ID() }

// Text returns the content of a secret key file, encrypted unless password is
// "". minisign reads both.
func (k PrivateKey) Text(password string) (string, error) {
	if !k.set {
		return "", refuse(BadKey, "", "there is no private key")
	}
	var b []byte
	var err error
	if password == "" {
		b, err = k.key.MarshalText()
	} else {
		b, err = minisign.EncryptKey(password, k.key)
	}
	if err != nil {
		return "", fmt.Errorf("archive: write private key: %w", err)
	}
	return strings.TrimRight(string(b), "\n") + "\n", nil
}

// String does not show the key.
func (k PrivateKey) String() string { return "private key " + k.ID() }

// GoString does not show the key either.
func (k PrivateKey) GoString() string { return k.String() }
