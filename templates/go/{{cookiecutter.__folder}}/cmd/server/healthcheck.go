package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"{{ cookiecutter.go_module }}/internal/config"
)

// healthcheckTimeout is shorter than the timeout of the image's HEALTHCHECK, so that the reason gets printed.
const healthcheckTimeout = 2 * time.Second

// healthcheck asks the server on this machine's PORT for /healthz and prints one line when it is not healthy.
func healthcheck(ctx context.Context, getenv func(string) string, stderr io.Writer) int {
	if err := askHealth(ctx, getenv); err != nil {
		fmt.Fprintln(stderr, "unhealthy:", err)
		return exitFailed
	}
	return exitOK
}

func askHealth(ctx context.Context, getenv func(string) string) error {
	cfg, err := config.Load(getenv)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port)) + "/healthz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A transport of its own: the default one follows HTTP_PROXY, which has no place here.
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}
