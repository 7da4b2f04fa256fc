package archive

import (
	"strconv"
	"strings"
)

// Reasons why an archive, a policy or an input of Pack and Sign is refused.
// They are for programs; they are never renamed, and their meaning never
// changes. A caller must be prepared for ones it does not know.
const (
	// The container.
	NotAnArchive  = "NotAnArchive"  // neither zip nor gzip-tar; Detail names what it is
	Truncated     = "Truncated"     // ends early
	Malformed     = "Malformed"     // contradicts itself or the format
	HiddenData    = "HiddenData"    // bytes before, between or after the files that no listing shows
	Overlap       = "Overlap"       // two entries share bytes
	Unsupported   = "Unsupported"   // a feature of the format that no release needs
	Encrypted     = "Encrypted"     // an entry is encrypted
	Corrupt       = "Corrupt"       // does not decompress to what its headers declare
	TooLarge      = "TooLarge"      // more bytes than allowed: archive, file or all files
	TooManyFiles  = "TooManyFiles"  // more than MaxEntries
	BadName       = "BadName"       // a name that is not safe everywhere
	DuplicateName = "DuplicateName" // two entries of one name, case aside, or a file that is also a directory
	SpecialFile   = "SpecialFile"   // a link, device, pipe or socket
	SetuidRefused = "SetuidRefused" // setuid, setgid or sticky
	BadLayout     = "BadLayout"     // a file under bin/ that is not bin/<os>/<arch>[/<variant>]/<name>

	// What the archive says of itself.
	NoSums         = "NoSums"         // there is no sha256sums
	BadSums        = "BadSums"        // sha256sums is not what sha256sum writes
	FileMissing    = "FileMissing"    // listed, but not in the archive
	FileNotListed  = "FileNotListed"  // in the archive, but not listed
	DigestMismatch = "DigestMismatch" // content is not what sha256sums says
	NoManifest     = "NoManifest"     // there is no manifest.json
	BadManifest    = "BadManifest"    // manifest.json is not acceptable

	// Trust.
	NoKeys         = "NoKeys"         // the policy names no key, and unsigned archives are not allowed
	Unsigned       = "Unsigned"       // no signature
	UnknownKey     = "UnknownKey"     // signatures by other keys only
	BadSignature   = "BadSignature"   // a signature in a known key's name that the key did not make, or not of the accepted form
	ThresholdUnmet = "ThresholdUnmet" // signed by too few of the known keys
	RolledBack     = "RolledBack"     // counter below the floor
	Expired        = "Expired"        // past its expiry
	NotYetValid    = "NotYetValid"    // made in the future: a clock is wrong
	WrongProduct   = "WrongProduct"   // of another product

	// What it is for.
	NoPlatform   = "NoPlatform"   // nothing for a platform that has to be served
	NoProgram    = "NoProgram"    // files for the platform, but not the program
	WrongMachine = "WrongMachine" // the program does not run on its platform

	// The caller.
	BadPolicy = "BadPolicy" // the policy contradicts itself or says too little
	BadInput  = "BadInput"  // what Pack or Sign was given cannot be packed or signed
	BadKey    = "BadKey"    // not a minisign key, or the password is wrong
)

// An Error is the refusal of an archive. Anything else that goes wrong while
// reading one, an I/O error of the Store say, is not an Error.
type Error struct {
	Reason string // one of the constants above
	Name   string // of the file in the archive it is about; "" for the whole
	Detail string // what is wrong, one clause, safe to print
	Err    error  // cause, may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("archive: ")
	if e.Name != "" {
		b.WriteString(quoteName(e.Name) + ": ")
	}
	b.WriteString(e.Detail)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if r := e.Remedy(); r != "" {
		b.WriteString("; " + r)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Remedy says what to do next, in one clause.
func (e *Error) Remedy() string {
	switch e.Reason {
	case NotAnArchive:
		return "send the release archive itself, a .zip or .tar.gz"
	case Truncated, Corrupt, DigestMismatch:
		return "fetch or upload the archive again, and pack it again if that does not help"
	case Malformed, HiddenData, Overlap, Unsupported, Encrypted, BadName, DuplicateName, SpecialFile, SetuidRefused,
		BadLayout, FileMissing, FileNotListed, NoSums, BadSums, NoManifest, BadManifest, TooManyFiles:
		return "pack the archive again, best with the pack command"
	case TooLarge:
		return "leave out what need not be in it, or raise the limit on the server"
	case NoKeys:
		return "configure the public key that signs releases"
	case Unsigned:
		return "sign the archive, or allow unsigned ones explicitly"
	case UnknownKey:
		return "add that key on the server if it is to be trusted, or sign with a key that is"
	case BadSignature:
		return "do not use this archive; fetch it again from its maker"
	case ThresholdUnmet:
		return "have it signed with further keys"
	case RolledBack:
		return "use a newer release"
	case Expired:
		return "use a newer release, or set the clock of this machine"
	case NotYetValid:
		return "set the clock of this machine"
	case WrongProduct:
		return "use an archive of this product"
	case NoPlatform, NoProgram:
		return "use an archive that has the program for every member"
	case WrongMachine:
		return "build the program for that platform and pack again"
	}
	return ""
}

// refuse makes an Error; name is "" for the whole archive.
func refuse(reason, name, detail string) *Error {
	return &Error{Reason: reason, Name: name, Detail: detail}
}

// quoteName returns name as it may be printed: what an archive says may forge
// lines or drive a terminal.
func quoteName(name string) string {
	const most = 120
	plain := name != ""
	for i := range len(name) {
		plain = plain && nameByte(name[i])
	}
	switch {
	case !plain && len(name) > most:
		return strconv.QuoteToASCII(name[:most]) + "…"
	case !plain:
		return strconv.QuoteToASCII(name)
	case len(name) > most:
		return name[:most] + "…"
	}
	return name
}
