package tracking

import (
	"reflect"
	"strings"
)

// hasOnly reports whether the JSON object in data has no other names than those
// of the fields of t, written exactly so. It may say false of one that has: then
// the object is decoded the long way. It says true only of a text that it could
// follow to the end, and leaves it to package json whether that is JSON.
func hasOnly(data []byte, t reflect.Type) bool {
	next := 0
	return walk(data, func(name []byte) bool {
		next = fieldNamed(t, name, next) + 1 // what we wrote ourselves is in the order of the fields
		return next > 0
	}) == len(data)
}

// objectEnd returns the length of the JSON object that data begins with, -1 if
// it has no end. It leaves it to package json whether that is JSON.
func objectEnd(data []byte) int {
	if len(data) == 0 || data[0] != '{' {
		return -1
	}
	return walk(data, func([]byte) bool { return true })
}

// walk follows the JSON object or list that data begins with and returns where
// it ends; -1 if it does not, a name of the object has an escape, or name says
// false of one.
func walk(data []byte, name func([]byte) bool) int {
	depth, key := 0, false
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
			key = depth == 1
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			key = depth == 1
		case '"':
			end := i + 1
			for end < len(data) && data[end] != '"' {
				if data[end] == '\\' {
					if key {
						return -1
					}
					end++
				}
				end++
			}
			if end >= len(data) || key && !name(data[i+1:end]) {
				return -1
			}
			i, key = end, false
		}
	}
	return -1
}

// fieldNamed returns the index of the field of t that has name in JSON, -1 if
// there is none. It looks from index next on, and then from the first.
func fieldNamed(t reflect.Type, name []byte, next int) int {
	for n := range t.NumField() {
		i := (next + n) % t.NumField()
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if tag == string(name) && tag != "-" {
			return i
		}
	}
	return -1
}

// tidyLists makes nil of every empty list of the struct v points to: an empty
// list and an absent one are the same to every reader.
func tidyLists(s reflect.Value) {
	for i := range s.NumField() {
		if f := s.Field(i); f.Kind() == reflect.Slice && f.Len() == 0 {
			f.SetZero()
		}
	}
}
