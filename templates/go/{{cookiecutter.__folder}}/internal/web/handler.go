// Package web is the HTTP side that every resource shares: the server and its graceful stop, request ids, logs,
// JSON in and out, and errors as problem details (RFC 9457).
package web

import (
	"log/slog"
	"net/http"
)

// Handler answers requests with mux, inside everything that each request gets.
func Handler(logger *slog.Logger, maxBodyBytes int64, mux *http.ServeMux) http.Handler {
	return withRequestID(logAccess(logger, recoverPanics(logger, limitBody(maxBodyBytes, withProblems(mux)))))
}

// limitBody refuses a body that is too long: at once where its length is told, else as soon as too much has come.
func limitBody(most int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > most {
			Fail(w, r, tooLarge(most))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

// withProblems puts problem details in place of the plain text that mux writes when no route fits.
func withProblems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fallback, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		verdict := &statusOnly{ResponseWriter: w}
		fallback.ServeHTTP(verdict, r)
		if verdict.status < http.StatusBadRequest {
			w.WriteHeader(verdict.status)
			return
		}
		Fail(w, r, &Problem{Status: verdict.status})
	})
}

// statusOnly lets headers through (Allow, Location), holds the status back and drops the body.
type statusOnly struct {
	http.ResponseWriter
	status int
}

func (s *statusOnly) WriteHeader(status int) { s.status = status }

func (s *statusOnly) Write(body []byte) (int, error) { return len(body), nil }
