package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leaderlast/leaderlast/upgrade"
)

// An Error is the body of every reply with a status of 400 or more. The first
// five keys are those of Digital Rebar Provision's error object (models/errors.go,
// v4.7.0). Decoders in Go match names without case, so no key of ours, here or
// later, may differ from one of them in case alone.
//
// A Client returns an *Error only for what is no refusal: the server failed.
type Error struct {
	Model    string   // "system" or "profiles"
	Key      string   // "upgrade", or the name of a profile
	Type     string   // an upgrade.Kind, or TypeInternal
	Messages []string // what happened; then the checks that failed; then what to do
	Code     int      // the status of the reply

	Reason string          `json:",omitempty"` // CamelCase, for programs; never renamed
	Remedy string          `json:",omitempty"`
	Member string          `json:",omitempty"`
	Gate   string          `json:",omitempty"`
	Until  time.Time       `json:",omitzero"`
	Checks []upgrade.Check `json:",omitempty"`
}

// TypeInternal is the Type of an Error that is no refusal.
const TypeInternal = "Internal"

// Reasons of refusals that the handler, or a Client, makes itself.
const (
	ReasonUnauthenticated  = "Unauthenticated"
	ReasonForbidden        = "Forbidden"
	ReasonCrossOrigin      = "CrossOrigin"
	ReasonNoSuchPath       = "NoSuchPath"
	ReasonNoSuchProfile    = "NoSuchProfile"
	ReasonNoSuchParam      = "NoSuchParam"
	ReasonMethodNotAllowed = "MethodNotAllowed"
	ReasonMediaType        = "MediaType"
	ReasonBadRequest       = "BadRequest"
	ReasonBodyTooLarge     = "BodyTooLarge"
	ReasonBodyEndedEarly   = "BodyEndedEarly"
	ReasonUploadStalled    = "UploadStalled"
	ReasonUploadTooSlow    = "UploadTooSlow"
	ReasonUploadInProgress = "UploadInProgress"
	ReasonRange            = "RangeNotSatisfiable"
	ReasonRequestEnded     = "RequestEnded"
	ReasonUnreachable      = "Unreachable"  // no server answered a Client
	ReasonNotTheAPI        = "NotTheAPI"    // something else answered a Client
	ReasonRunReplaced      = "RunReplaced"  // the run that was watched is no longer the one in the record
	ReasonRecordBehind     = "RecordBehind" // every server that answers knows less than was seen before
)

// reasonIncomplete is that of an Orchestrator whose other members do not hold an
// archive yet when the time for that is over: it goes on, and the same upload
// waits for it again.
const reasonIncomplete = "ReplicationIncomplete"

func (e *Error) Error() string {
	return cmp.Or(e.Reason, e.Type) + ": " + strings.Join(e.Messages, "; ")
}

// statusOf is the table in the package comment.
func statusOf(r *upgrade.Refusal) int {
	switch r.Reason {
	case ReasonUnauthenticated:
		return http.StatusUnauthorized
	case ReasonMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case ReasonUploadStalled, ReasonUploadTooSlow:
		return http.StatusRequestTimeout
	case ReasonMediaType:
		return http.StatusUnsupportedMediaType
	case ReasonRange:
		return http.StatusRequestedRangeNotSatisfiable
	case reasonIncomplete:
		return http.StatusGatewayTimeout
	}
	switch r.Kind {
	case upgrade.Invalid:
		return http.StatusUnprocessableEntity
	case upgrade.Short:
		return http.StatusBadRequest
	case upgrade.Untrusted, upgrade.Forbidden:
		return http.StatusForbidden
	case upgrade.NotFound:
		return http.StatusNotFound
	case upgrade.Conflict, upgrade.NotReady:
		return http.StatusConflict
	case upgrade.TooLarge:
		return http.StatusRequestEntityTooLarge
	case upgrade.NoSpace:
		return http.StatusInsufficientStorage
	case upgrade.Busy:
		return http.StatusTooManyRequests
	case upgrade.Unavailable:
		return http.StatusServiceUnavailable
	case upgrade.Unsupported:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

func known(k upgrade.Kind) bool {
	return statusOf(&upgrade.Refusal{Kind: k}) != http.StatusInternalServerError
}

// kindOf is for replies that others made, a proxy or a middleware.
func kindOf(status int) upgrade.Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return upgrade.Forbidden
	case http.StatusNotFound, http.StatusGone:
		return upgrade.NotFound
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return upgrade.Unsupported
	case http.StatusRequestTimeout:
		return upgrade.Short
	case http.StatusConflict:
		return upgrade.Conflict
	case http.StatusPreconditionFailed:
		return upgrade.NotReady
	case http.StatusRequestEntityTooLarge:
		return upgrade.TooLarge
	case http.StatusTooManyRequests:
		return upgrade.Busy
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return upgrade.Unavailable
	case http.StatusInsufficientStorage:
		return upgrade.NoSpace
	}
	if status >= 400 && status < 500 {
		return upgrade.Invalid
	}
	return ""
}

// refusalOf returns the refusal in err, or the one that a plain error of the
// standard library amounts to, or nil.
func refusalOf(err error) *upgrade.Refusal {
	var r *upgrade.Refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &upgrade.Refusal{Kind: upgrade.Unavailable, Reason: ReasonRequestEnded,
			Message: "the request ended before it was answered", Remedy: "Ask again.", Err: err}
	case errors.Is(err, errors.ErrUnsupported):
		return &upgrade.Refusal{Kind: upgrade.Unsupported, Reason: "Unsupported",
			Message: "this server cannot do that", Err: err}
	}
	return nil
}

// wire returns the Error for err, about model and key.
func wire(model, key string, err error) Error {
	r := refusalOf(err)
	if r == nil || !known(r.Kind) {
		return Error{Model: model, Key: key, Type: TypeInternal, Reason: TypeInternal,
			Messages: []string{err.Error()}, Code: http.StatusInternalServerError}
	}
	e := Error{Model: model, Key: key, Type: string(r.Kind), Code: statusOf(r), Reason: r.Reason, Remedy: r.Remedy,
		Member: r.Member, Gate: r.Gate, Until: r.Until, Checks: r.Checks}
	if r.Reason == ReasonNoSuchProfile {
		e.Type = http.MethodGet // the words of the reference product
	}
	text := r.Message
	if r.Err != nil {
		text += ": " + r.Err.Error()
	}
	e.Messages = append(e.Messages, text)
	for _, c := range r.Checks {
		line := c.ID + ": " + c.Title
		if c.Fix.Text != "" {
			line += " " + c.Fix.Text
		}
		if c.Fix.Command != "" {
			line += " Run: " + c.Fix.Command
		}
		e.Messages = append(e.Messages, line)
	}
	if r.Remedy != "" {
		e.Messages = append(e.Messages, r.Remedy)
	}
	return e
}

// unwire returns the error that a reply with this status, type and body is.
func unwire(status int, body []byte, isJSON bool, from string) error {
	var e Error
	if isJSON && json.Unmarshal(body, &e) == nil && len(e.Messages) > 0 {
		kind := upgrade.Kind(e.Type)
		if !known(kind) {
			if kind = kindOf(status); kind == "" {
				e.Code = status
				return &e
			}
		}
		r := &upgrade.Refusal{Kind: kind, Reason: cmp.Or(e.Reason, string(kind)), Message: e.Messages[0],
			Remedy: e.Remedy, Member: e.Member, Gate: e.Gate, Until: e.Until, Checks: e.Checks}
		return authenticated(status, r)
	}
	text := fmt.Sprintf("HTTP %d %s from %s", status, http.StatusText(status), from)
	if excerpt := excerptOf(body); excerpt != "" {
		text += ": " + excerpt
	}
	kind := kindOf(status)
	if kind == "" {
		return &Error{Type: TypeInternal, Reason: TypeInternal, Messages: []string{text}, Code: status}
	}
	return authenticated(status, &upgrade.Refusal{Kind: kind, Reason: string(kind), Message: text})
}

func authenticated(status int, r *upgrade.Refusal) error {
	if status == http.StatusUnauthorized {
		r.Reason, r.Err = ReasonUnauthenticated, ErrUnauthenticated
	}
	return r
}

// excerptOf returns the beginning of a body that was no JSON, on one line.
func excerptOf(body []byte) string {
	text := strings.Join(strings.Fields(string(body)), " ")
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	if text == "" {
		return ""
	}
	return strconv.Quote(text)
}
