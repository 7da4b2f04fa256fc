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
	depth, key := 0, false
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
			key = depth == 1
		case '}', ']':
			depth--
		case ',':
			key = depth == 1
		case '"':
			end := i + 1
			for end < len(data) && data[end] != '"' {
				if data[end] == '\\' {
					if key {
						return false
					}
					end++
				}
				end++
			}
			if end >= len(data) || key && !hasField(t, data[i+1:end]) {
				return false
			}
			i, key = end, false
		}
	}
	return depth == 0
}

func hasField(t reflect.Type, name []byte) bool {
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if tag == string(name) && tag != "-" {
			return true
		}
	}
	return false
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
