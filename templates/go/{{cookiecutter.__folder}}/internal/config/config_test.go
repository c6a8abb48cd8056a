package config_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"{{ cookiecutter.go_module }}/internal/config"
)

// from returns a getenv over variables written as NAME=value.
func from(variables ...string) func(string) string {
	return func(name string) string {
		for _, variable := range variables {
			if value, ok := strings.CutPrefix(variable, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func TestAnEmptyEnvironmentGivesTheDefaults(t *testing.T) {
	got, err := config.Load(from("PORT="))
	want := config.Config{
		Port:            {{ cookiecutter.port }},
		LogLevel:        slog.LevelInfo,
		ReadTimeout:     10 * time.Second,
		WriteTimeout:    10 * time.Second,
		IdleTimeout:     75 * time.Second,
		DrainDelay:      500 * time.Millisecond,
		ShutdownTimeout: 1700 * time.Millisecond,
		MaxBodyBytes:    65536,
		Version:         "0.0.0-dev",
		Revision:        "unknown",
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	got, err := config.Load(from(
		"PORT=9999", "LOG_LEVEL=debug", "READ_TIMEOUT=1s", "WRITE_TIMEOUT=2s", "IDLE_TIMEOUT=3s", "DRAIN_DELAY=0s",
		"SHUTDOWN_TIMEOUT=4s", "MAX_BODY_BYTES=5", "SERVICE_VERSION=1.2.3", "SERVICE_REVISION=abc",
	))
	want := config.Config{
		Port:            9999,
		LogLevel:        slog.LevelDebug,
		ReadTimeout:     time.Second,
		WriteTimeout:    2 * time.Second,
		IdleTimeout:     3 * time.Second,
		DrainDelay:      0,
		ShutdownTimeout: 4 * time.Second,
		MaxBodyBytes:    5,
		Version:         "1.2.3",
		Revision:        "abc",
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestABadValueIsRefusedByName(t *testing.T) {
	for _, variable := range []string{
		"PORT=http", "PORT=0", "PORT=65536", "PORT=80 80",
		"LOG_LEVEL=loud",
		"READ_TIMEOUT=10", "READ_TIMEOUT=0s", "WRITE_TIMEOUT=-1s", "IDLE_TIMEOUT=soon", "DRAIN_DELAY=-1s",
		"SHUTDOWN_TIMEOUT=never",
		"MAX_BODY_BYTES=0", "MAX_BODY_BYTES=1MB",
	} {
		t.Run(variable, func(t *testing.T) {
			name, _, _ := strings.Cut(variable, "=")
			_, err := config.Load(from(variable))
			if err == nil || !strings.HasPrefix(err.Error(), name+" must be ") || !strings.Contains(err.Error(), "for example ") {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestARefusedValueIsNotPrinted(t *testing.T) {
	_, err := config.Load(from("PORT=hunter2", "LOG_LEVEL=hunter2", "READ_TIMEOUT=hunter2"))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got error %v", err)
	}
}

func TestTheCaseOfALogLevelDoesNotMatter(t *testing.T) {
	if cfg, err := config.Load(from("LOG_LEVEL=DEBUG")); err != nil || cfg.LogLevel != slog.LevelDebug {
		t.Errorf("got %v, %v", cfg.LogLevel, err)
	}
}

func TestADrainAsLongAsTheShutdownIsRefused(t *testing.T) {
	_, err := config.Load(from("DRAIN_DELAY=2s", "SHUTDOWN_TIMEOUT=2s"))
	if err == nil || err.Error() != "DRAIN_DELAY must be shorter than SHUTDOWN_TIMEOUT" {
		t.Errorf("got error %v", err)
	}
}

func TestAllErrorsComeInOneLine(t *testing.T) {
	_, err := config.Load(from("PORT=http", "MAX_BODY_BYTES=all"))
	want := "PORT must be a whole number from 1 to 65535, for example {{ cookiecutter.port }}; " +
		"MAX_BODY_BYTES must be a whole number from 1 to 1073741824, for example 65536"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
