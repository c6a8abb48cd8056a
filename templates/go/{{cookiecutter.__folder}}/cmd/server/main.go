// Command server runs the service; "server healthcheck" asks a running one whether it is healthy.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of the command.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default action is back, so that a second one ends a stop that hangs.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run does what args ask for and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 0:
		return serve(ctx, getenv, stdout, stderr)
	case len(args) == 1 && args[0] == "healthcheck":
		return healthcheck(ctx, getenv, stderr)
	default:
		fmt.Fprintln(stderr, "usage: server [healthcheck]")
		return exitUsage
	}
}
