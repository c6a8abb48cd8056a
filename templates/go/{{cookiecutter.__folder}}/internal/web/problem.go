package web

import (
	"fmt"
	"net/http"
)

// Problem is what went wrong, in words for the client; as a body it is RFC 9457's problem details.
type Problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitzero"`
	RequestID string `json:"request_id,omitzero"`
}

// Problemf returns a problem with a formatted detail.
func Problemf(status int, format string, args ...any) *Problem {
	return &Problem{Status: status, Detail: fmt.Sprintf(format, args...)}
}

// Fail answers r with the problem, to which it adds title and request id.
func Fail(w http.ResponseWriter, r *http.Request, problem *Problem) {
	body := *problem
	body.Title = http.StatusText(body.Status)
	body.RequestID = RequestID(r.Context())
	if body.Status == http.StatusRequestTimeout || body.Status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // without waiting for the rest of the body
	}
	write(w, body.Status, "application/problem+json", body)
}
