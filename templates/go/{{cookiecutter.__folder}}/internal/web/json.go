package web

import (
	"encoding/json/v2"
	"errors"
	"mime"
	"net/http"
	"os"
)

// WriteJSON answers with value as JSON.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	write(w, status, "application/json", value)
}

func write(w http.ResponseWriter, status int, contentType string, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // a type of ours that has no JSON form: a programming error
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// BodyProblem returns what to answer when reading a body ends with err because the body is too long or too slow, or nil.
func BodyProblem(err error) *Problem {
	if limit, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(limit.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Problemf(http.StatusRequestTimeout, "the body came too slowly")
	}
	return nil
}

func tooLarge(most int64) *Problem {
	return Problemf(http.StatusRequestEntityTooLarge, "the body must be at most %d bytes", most)
}

// ReadJSON decodes the whole body of r strictly: no unknown or repeated names, nothing after the value.
func ReadJSON[T any](r *http.Request) (T, *Problem) {
	var value T
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return value, Problemf(http.StatusUnsupportedMediaType, "the body must be application/json")
	}
	err := json.UnmarshalRead(r.Body, &value, json.RejectUnknownMembers(true))
	if problem := BodyProblem(err); problem != nil {
		return value, problem
	}
	// The text of this error names Go types, which are nothing to a client.
	if unexpected, ok := errors.AsType[*json.SemanticError](err); ok {
		return value, Problemf(http.StatusBadRequest, "unexpected name or value in the body at %q", unexpected.JSONPointer)
	}
	if err != nil {
		return value, Problemf(http.StatusBadRequest, "the body is not JSON: %s", err)
	}
	return value, nil
}
