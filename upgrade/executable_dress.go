package upgrade

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/leaderlast/leaderlast/internal/durable"
)

// modeBits are what chmod can set. An archive has no say in them.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// dress gives f the owner, mode and extended attributes of like, in the order
// in which one does not undo the other. Capabilities come later.
func (s *swap) dress(f, like durable.File, name string) error {
	old, err := like.Stat()
	if err != nil {
		return err
	}
	if err := s.own(f, old, name); err != nil {
		return err
	}
	if err := f.Chmod(old.Mode & modeBits); err != nil {
		return err
	}
	if err := s.attributes(f, like, name); err != nil {
		return err
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if now.Mode&modeBits != old.Mode&modeBits {
		return fmt.Errorf("mode %v cannot be kept, it came out as %v: %w", old.Mode, now.Mode, fs.ErrPermission)
	}
	return nil
}

func (s *swap) own(f durable.File, old durable.Info, name string) error {
	now, err := f.Stat()
	if err != nil || now.UID == old.UID && now.GID == old.GID {
		return err
	}
	err = f.Chown(old.UID, old.GID)
	if refused(err) && now.GID != old.GID {
		// An owner may still give a file to a group he belongs to.
		if gerr := f.Chown(-1, old.GID); gerr != nil && !refused(gerr) {
			return gerr
		}
	} else if err != nil && !refused(err) {
		return err
	}
	if now, err = f.Stat(); err != nil {
		return err
	}
	if now.UID == old.UID && now.GID == old.GID {
		return nil
	}
	if old.Mode&fs.ModeSetuid != 0 && now.UID != old.UID || old.Mode&fs.ModeSetgid != 0 && now.GID != old.GID {
		return fmt.Errorf("%s is setuid or setgid, and its owner %d:%d cannot be kept: %w", name, old.UID, old.GID, fs.ErrPermission)
	}
	s.note("%s belonged to %d:%d; the kernel does not let this process keep that, so the new file belongs to %d:%d.",
		filepath.Base(name), old.UID, old.GID, now.UID, now.GID)
	return nil
}

const (
	attrIMA        = "security.ima" // these two sign the content, and the old one's at that
	attrEVM        = "security.evm"
	attrCapability = "security.capability" // the Copier's
	attrSELinux    = "security.selinux"    // the policy's
)

// attributes makes the extended attributes of f those of like: an inherited
// access list would give rights that the old file did not give.
func (s *swap) attributes(f, like durable.File, name string) error {
	want, err := like.Xattrs()
	if err != nil {
		return err
	}
	have, err := f.Xattrs()
	if err != nil {
		return err
	}
	if !bytes.Equal(want[attrSELinux], have[attrSELinux]) {
		s.note("the security label of %s was %q and that of the new file is %q; run restorecon on it if the policy wants another.",
			filepath.Base(name), bytes.TrimRight(want[attrSELinux], "\x00"), bytes.TrimRight(have[attrSELinux], "\x00"))
	}
	for _, skip := range []string{attrIMA, attrEVM, attrCapability, attrSELinux} {
		delete(want, skip)
		delete(have, skip)
	}
	for attr := range have {
		if _, ok := want[attr]; !ok {
			want[attr] = nil
		}
	}
	for _, attr := range slices.Sorted(maps.Keys(want)) {
		value := want[attr]
		if old, ok := have[attr]; ok && value != nil && bytes.Equal(old, value) {
			continue
		}
		if err := f.SetXattr(attr, value); refused(err) {
			s.note("extended attribute %s of %s cannot be kept: %v.", attr, filepath.Base(name), errors.Unwrap(err))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// refused reports whether the kernel says that this may or can not be done, as
// opposed to having failed at it.
func refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) ||
		errors.Is(err, syscall.EINVAL) // an id that the user namespace does not know
}
