package web

import (
	"log/slog"
	"net/http"
	"time"
)

// logAccess writes one line for each request, when it is over.
func logAccess(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		response := record(w)
		defer func() {
			logger.LogAttrs(r.Context(), accessLevel(r), "request",
				slog.String("method", r.Method),
				slog.String("path", r.URL.Path),
				slog.Int("status", response.status),
				slog.Int64("bytes", response.bytes),
				slog.Float64("duration_ms", float64(time.Since(started).Microseconds())/1000),
			)
		}()
		next.ServeHTTP(response, r)
		if response.status == 0 {
			response.WriteHeader(http.StatusOK)
		}
	})
}

// accessLevel keeps the probes, which come every few seconds, out of the log.
func accessLevel(r *http.Request) slog.Level {
	if r.URL.Path == livePath || r.URL.Path == readyPath {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
