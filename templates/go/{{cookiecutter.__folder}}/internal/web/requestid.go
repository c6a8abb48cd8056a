package web

import (
	"context"
	"net/http"
	"strings"
	"uuid"
)

const (
	requestIDHeader = "X-Request-Id"
	maxRequestID    = 64
	requestIDRunes  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
)

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID gives each request the id it came with, or a new one, and echoes it.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !wellFormed(id) {
			id = uuid.New().String()
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// wellFormed keeps what a client sends fit for logs and headers.
func wellFormed(id string) bool {
	return id != "" && len(id) <= maxRequestID && strings.Trim(id, requestIDRunes) == ""
}
