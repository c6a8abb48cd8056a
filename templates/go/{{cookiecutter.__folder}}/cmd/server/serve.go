package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"{{ cookiecutter.go_module }}/internal/config"
	"{{ cookiecutter.go_module }}/internal/notes"
	"{{ cookiecutter.go_module }}/internal/web"
)

// notesKept bounds the memory of the in-memory store.
const notesKept = 500

// serve runs the service until ctx is done.
func serve(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg, err := config.Load(getenv)
	if err != nil {
		web.NewLogger(stderr, slog.LevelInfo).Error("configuration refused: " + err.Error())
		return exitFailed
	}
	logger := web.NewLogger(stdout, cfg.LogLevel)

	listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(cfg.Port)))
	if err != nil {
		logger.Error("cannot listen", "error", err.Error())
		return exitFailed
	}
	logger.Info("started", "address", listener.Addr().String(), "version", cfg.Version, "revision", cfg.Revision)

	server := web.NewServer(cfg, logger)
	if err := server.Serve(ctx, listener, routes(cfg, server)); err != nil {
		logger.Error("stopped badly", "error", err.Error())
		return exitFailed
	}
	logger.Info("stopped")
	return exitOK
}

// routes is the table of everything that the service answers.
func routes(cfg config.Config, server *web.Server) *http.ServeMux {
	mux := http.NewServeMux()
	web.RegisterProbes(mux, server.Ready)
	web.RegisterVersion(mux, cfg.Version, cfg.Revision)
	notes.Register(mux, notes.NewStore(notesKept))
	return mux
}
