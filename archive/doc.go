// Package archive is what gets installed: reading and checking an archive, signatures, and the content-addressed Store.
package archive
