package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"{{ cookiecutter.go_module }}/internal/config"
)

const (
	readHeaderTimeout = 5 * time.Second
	maxHeaderBytes    = 32 << 10
	// lingerDelay is how long a connection between two requests is kept when no new ones are accepted.
	lingerDelay = 500 * time.Millisecond
	pollEvery   = 5 * time.Millisecond
)

// Server is an HTTP server that stops without failing a request.
type Server struct {
	cfg      config.Config
	logger   *slog.Logger
	draining atomic.Bool // new work should go elsewhere
	closing  atomic.Bool // each response is its connection's last
	open     atomic.Int64
	inFlight atomic.Int64
}

// NewServer returns a server with the limits of cfg.
func NewServer(cfg config.Config, logger *slog.Logger) *Server {
	return &Server{cfg: cfg, logger: logger}
}

// Ready tells whether the server wants new work.
func (s *Server) Ready() bool {
	return !s.draining.Load()
}

// Serve answers requests on listener with mux until ctx is done, then stops.
// The error says what failed, or how many requests were cut off.
func (s *Server) Serve(ctx context.Context, listener net.Listener, mux *http.ServeMux) error {
	server := &http.Server{
		Handler:           s.track(Handler(s.logger, s.cfg.MaxBodyBytes, mux)),
		ReadHeaderTimeout: min(readHeaderTimeout, s.cfg.ReadTimeout),
		ReadTimeout:       s.cfg.ReadTimeout,
		WriteTimeout:      s.cfg.WriteTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
		ConnState:         s.count,
	}
	defer server.Close()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		s.logger.Info("stopping", "cause", context.Cause(ctx).Error())
	}
	return s.stop(server, listener, served)
}

// stop ends the work in an order that fails no request. http.Server.Shutdown alone would close connections that
// are between two requests at once, and so reset a request that is on its way to one of them.
func (s *Server) stop(server *http.Server, listener net.Listener, served <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.ShutdownTimeout)
	defer cancel()

	// 1. Tell the load balancer, and serve on while it looks elsewhere.
	s.draining.Store(true)
	sleep(ctx, s.cfg.DrainDelay)

	// 2. Accept no more. Until now clients kept their connections, so that hardly one is waiting to be accepted.
	listener.Close()
	<-served

	// 3. Let each client take one more answer that says `Connection: close`.
	s.closing.Store(true)
	lingering, done := context.WithTimeout(ctx, lingerDelay)
	defer done()
	for s.open.Load() > 0 && lingering.Err() == nil {
		sleep(lingering, pollEvery)
	}

	// 4. Close the silent connections and wait for the requests in flight.
	if err := server.Shutdown(ctx); err != nil && s.inFlight.Load() > 0 {
		return fmt.Errorf("%d requests cut off after %s", s.inFlight.Load(), s.cfg.ShutdownTimeout)
	}
	return nil
}

// track counts the requests in flight, and marks the last response of a connection.
func (s *Server) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.inFlight.Add(1)
		defer s.inFlight.Add(-1)
		response := record(w)
		response.patience = s.cfg.WriteTimeout
		response.extend()
		response.beforeHead = func(header http.Header) {
			if s.closing.Load() {
				header.Set("Connection", "close")
			}
		}
		next.ServeHTTP(response, r)
	})
}

// count keeps the number of open connections.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// sleep waits for d, or less when ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
