package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// recoverPanics turns a panic into a log line and a 500, or a cut connection when the head is already sent.
func recoverPanics(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := record(w)
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler {
				panic(cause)
			}
			logger.ErrorContext(r.Context(), "panic", "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			if response.status != 0 {
				panic(http.ErrAbortHandler)
			}
			Fail(response, r, &Problem{Status: http.StatusInternalServerError})
		}()
		next.ServeHTTP(response, r)
	})
}
