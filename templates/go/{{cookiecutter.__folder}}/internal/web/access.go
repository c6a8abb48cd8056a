package web

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"
)

// logAccess writes one line for each request, when it is over; `cut_off` says why the client did not get all of it.
func logAccess(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		response := record(w)
		defer func() {
			attributes := []slog.Attr{
				slog.String("method", r.Method),
				slog.String("path", r.URL.Path),
				slog.Int("status", response.status),
				slog.Int64("bytes", response.bytes),
				slog.Float64("duration_ms", float64(time.Since(started).Microseconds())/1000),
			}
			if err := cmp.Or(response.err, r.Context().Err()); err != nil {
				attributes = append(attributes, slog.String("cut_off", err.Error()))
			}
			logger.LogAttrs(r.Context(), accessLevel(r), "request", attributes...)
		}()
		next.ServeHTTP(response, r)
		response.begin()
	})
}

// accessLevel keeps the probes, which come every few seconds, out of the log.
func accessLevel(r *http.Request) slog.Level {
	if r.URL.Path == livePath || r.URL.Path == readyPath {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
