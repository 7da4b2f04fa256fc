package httpapi

import "net/http"

// BearerAuth is a ClientConfig.Auth for a token.
func BearerAuth(token string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// BasicAuth is a ClientConfig.Auth for a user and a password.
func BasicAuth(user, password string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.SetBasicAuth(user, password)
		return nil
	}
}
