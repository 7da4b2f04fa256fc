//go:build !unix

package archive

// alive cannot be told here.
func alive(int) bool { return true }
