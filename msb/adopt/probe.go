// Command probe asks the service on PORT for its health: `probe /healthz` wants a 2xx or 3xx, `probe` a connection.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

const timeout = 2 * time.Second // shorter than that of the image's HEALTHCHECK, so that the reason gets printed

func main() {
	if err := ask(os.Getenv("PORT"), strings.Join(os.Args[1:], "")); err != nil {
		fmt.Fprintln(os.Stderr, "unhealthy:", err)
		os.Exit(1)
	}
}

// ask writes its request itself: with net/http, the image would be megabytes larger.
func ask(port, path string) error {
	connection, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), timeout)
	if err != nil || path == "" {
		return err
	}
	connection.SetDeadline(time.Now().Add(timeout))
	fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
	status, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	_, code, _ := strings.Cut(strings.TrimSpace(status), " ")
	if code < "200" || code >= "400" {
		return errors.New(code)
	}
	return nil
}
