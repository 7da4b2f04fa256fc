// Package archive is what gets installed: reading and checking an archive,
// signatures, and the content-addressed Store.
//
// An archive is a zip or a gzip-compressed tar, told apart by content:
//
//	sha256sums                           a line for every other file, as sha256sum writes them
//	sha256sums.minisig                   minisign signature over exactly those bytes
//	sha256sums.<KEY ID>.minisig          the same by further keys
//	manifest.json                        product, version, counter, expiry: see Manifest
//	bin/<os>/<arch>/<name>               programs of the plain build
//	bin/<os>/<arch>/<variant>/<name>     programs of a variant
//	anything else                        carried along, never installed
//
// Trust has one root. A signature covers sha256sums; sha256sums names every
// file, manifest.json too, by its content; nothing is believed that cannot be
// reached that way. There is one way to be an acceptable archive and every
// departure from it is refused with a Reason, because two programs that read
// the same bytes differently are how signed archives get subverted.
//
// Check turns an archive in a Store into a Verified, and nothing else does.
// Whatever installs programs takes a Verified and so cannot be handed bytes
// that nobody looked at.
//
// Pack and Sign make what Check accepts. Both are reproducible.
package archive
