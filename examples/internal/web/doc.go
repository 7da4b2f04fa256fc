// Package web is what the HTTP APIs of the examples share: users and the tokens
// that stand for them, and replies in one form.
package web
