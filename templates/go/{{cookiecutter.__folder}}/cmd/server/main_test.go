package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// portOf returns the port of an address or URL.
func portOf(address string) string {
	return address[strings.LastIndex(address, ":")+1:]
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return portOf(listener.Addr().String())
}

func with(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestTheServiceStartsServesAndStops(t *testing.T) {
	getenv := with(map[string]string{"PORT": freePort(t), "DRAIN_DELAY": "10ms", "SERVICE_VERSION": "1.2.3"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stdout bytes.Buffer
	exit := make(chan int, 1)
	go func() { exit <- run(ctx, nil, getenv, &stdout, io.Discard) }()

	started := time.Now()
	for run(ctx, []string{"healthcheck"}, getenv, io.Discard, io.Discard) != exitOK {
		if time.Since(started) > 10*time.Second {
			t.Fatal("never healthy")
		}
	}
	for path, want := range map[string]string{
		"/readyz":    `{"status":"ok"}`,
		"/version":   `{"version":"1.2.3","revision":"unknown"}`,
		"/api/notes": `{"notes":[]}`,
	} {
		response, err := http.Get("http://127.0.0.1:" + getenv("PORT") + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if got := strings.TrimSpace(string(body)); got != want {
			t.Errorf("%s: got %s", path, got)
		}
	}

	http.DefaultClient.CloseIdleConnections()
	stop()
	if code := <-exit; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for line := range strings.Lines(stdout.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if !strings.Contains(stdout.String(), `"version":"1.2.3"`) {
		t.Errorf("the log does not name the version: %s", &stdout)
	}
}

func TestHealthcheckTellsWhyTheServerIsNotHealthy(t *testing.T) {
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	for _, test := range []struct{ name, port, want string }{
		{"nobody listens", freePort(t), "connection refused"},
		{"another answer", portOf(broken.URL), "404 Not Found"},
		{"a bad port", "http", "PORT must be a whole number"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := run(t.Context(), []string{"healthcheck"}, with(map[string]string{"PORT": test.port}), io.Discard, &stderr)
			if code != exitFailed || !oneLine(stderr.String(), "unhealthy: ", test.want) {
				t.Errorf("exit code %d, %s", code, &stderr)
			}
		})
	}
}

func TestABadStartIsOneLineAndAnExitCode(t *testing.T) {
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		name string
		args []string
		port string
		code int
		want string
	}{
		{"an unknown subcommand", []string{"destroy"}, "", exitUsage, "usage: server [healthcheck]"},
		{"one argument too many", []string{"healthcheck", "now"}, "", exitUsage, "usage: server [healthcheck]"},
		{"a bad configuration", nil, "http", exitFailed, "PORT must be a whole number"},
		{"a port in use", nil, portOf(taken.Addr().String()), exitFailed, "address already in use"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var output bytes.Buffer
			code := run(t.Context(), test.args, with(map[string]string{"PORT": test.port}), &output, &output)
			if code != test.code || !oneLine(output.String(), test.want) {
				t.Errorf("exit code %d, %s", code, &output)
			}
		})
	}
}

// oneLine tells whether output is a single line that holds every text.
func oneLine(output string, texts ...string) bool {
	for _, text := range texts {
		if !strings.Contains(output, text) {
			return false
		}
	}
	return strings.Count(output, "\n") == 1 && strings.HasSuffix(output, "\n")
}
