// Package config reads the service's configuration from the environment.
package config

import (
	"errors"
	"log/slog"
	"time"
)

// Config is the whole configuration; every field is set by the variable named beside it.
type Config struct {
	Port            int           // PORT
	LogLevel        slog.Level    // LOG_LEVEL
	ReadTimeout     time.Duration // READ_TIMEOUT: for a request with its body
	WriteTimeout    time.Duration // WRITE_TIMEOUT: for a client to take the next bytes of a response
	IdleTimeout     time.Duration // IDLE_TIMEOUT: between two requests on one connection
	DrainDelay      time.Duration // DRAIN_DELAY: from the stop signal to the end of new connections
	ShutdownTimeout time.Duration // SHUTDOWN_TIMEOUT: from the stop signal to the exit, at most
	MaxBodyBytes    int64         // MAX_BODY_BYTES
	Version         string        // SERVICE_VERSION
	Revision        string        // SERVICE_REVISION
}

// Load reads the configuration with getenv; an unset or empty variable means the default.
// The error tells everything that is wrong, in one line.
func Load(getenv func(string) string) (Config, error) {
	env := &environment{getenv: getenv}
	cfg := Config{
		Port:         read(env, "PORT", {{ cookiecutter.port }}, integer(1, 65535)),
		LogLevel:     read(env, "LOG_LEVEL", slog.LevelInfo, level),
		ReadTimeout:  read(env, "READ_TIMEOUT", 10*time.Second, duration(time.Millisecond)),
		WriteTimeout: read(env, "WRITE_TIMEOUT", 10*time.Second, duration(time.Millisecond)),
		// Longer than the 60 s of common load balancers: who closes first must be the one who sends.
		IdleTimeout: read(env, "IDLE_TIMEOUT", 75*time.Second, duration(time.Millisecond)),
		DrainDelay:  read(env, "DRAIN_DELAY", 500*time.Millisecond, duration(0)),
		// Together with the exit itself, less than two seconds.
		ShutdownTimeout: read(env, "SHUTDOWN_TIMEOUT", 1700*time.Millisecond, duration(time.Millisecond)),
		MaxBodyBytes:    int64(read(env, "MAX_BODY_BYTES", 64<<10, integer(1, 1<<30))),
		Version:         read(env, "SERVICE_VERSION", "0.0.0-dev", text),
		Revision:        read(env, "SERVICE_REVISION", "unknown", text),
	}
	if cfg.DrainDelay >= cfg.ShutdownTimeout {
		env.refuse(errors.New("DRAIN_DELAY must be shorter than SHUTDOWN_TIMEOUT"))
	}
	return cfg, env.err()
}
