package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"{{ cookiecutter.go_module }}/internal/config"
	"{{ cookiecutter.go_module }}/internal/web"
)

// running is a server under test.
type running struct {
	*web.Server
	address string
	blocked <-chan struct{} // gets a value for each request that waits in /block
	stop    context.CancelFunc
	stopped <-chan error
}

// start serves probes, an echo of POST /echo and GET /block, which lasts until the test ends.
func start(t *testing.T, change func(*config.Config)) running {
	t.Helper()
	cfg, err := config.Load(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	cfg.DrainDelay = 100 * time.Millisecond
	change(&cfg)
	server := web.NewServer(cfg, web.NewLogger(io.Discard, cfg.LogLevel))

	mux := http.NewServeMux()
	web.RegisterProbes(mux, server.Ready)
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			web.Fail(w, r, web.Problemf(http.StatusRequestEntityTooLarge, "%s", err))
			return
		}
		w.Write(body)
	})
	blocked := make(chan struct{})
	mux.HandleFunc("GET /block", func(http.ResponseWriter, *http.Request) {
		blocked <- struct{}{}
		<-t.Context().Done()
	})

	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ctx, listener, mux) }()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	return running{server, address, blocked, stop, stopped}
}

// client is one connection, on which bytes can be sent when the test wants.
type client struct {
	t *testing.T
	net.Conn
	reader *bufio.Reader
}

func (s running) dial(t *testing.T) client {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return client{t, conn, bufio.NewReader(conn)}
}

func (c client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads a response and its body.
func (c client) receive() (*http.Response, string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response, string(body)
}

func (c client) get(path string) *http.Response {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n")
	response, _ := c.receive()
	return response
}

const postHalf = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf"

func unchanged(*config.Config) {}

func TestStopMakesTheServiceLiveButNotReady(t *testing.T) {
	server := start(t, func(cfg *config.Config) { cfg.DrainDelay = time.Second })
	client := server.dial(t)
	if got := client.get("/readyz").StatusCode; got != http.StatusOK {
		t.Errorf("before the stop: got %d", got)
	}
	server.stop()
	for client.get("/readyz").StatusCode != http.StatusServiceUnavailable {
		// The connection's deadline ends a wait in vain.
	}
	if got := server.dial(t).get("/healthz").StatusCode; got != http.StatusOK {
		t.Errorf("a new connection while draining: got %d", got)
	}
}

func TestStopFinishesARequestWhoseBodyIsStillOnItsWay(t *testing.T) {
	server := start(t, unchanged)
	client := server.dial(t)
	client.send(postHalf)
	server.stop()
	waitUntilClosed(t, server)
	client.send("more")
	response, body := client.receive()
	if response.StatusCode != http.StatusOK || body != "halfmore" {
		t.Errorf("got %d %q", response.StatusCode, body)
	}
	if err := <-server.stopped; err != nil {
		t.Error(err)
	}
}

func TestStopClosesNoConnectionBeforeAnAnswerHasSaidSo(t *testing.T) {
	server := start(t, unchanged)
	client := server.dial(t)
	if client.get("/healthz").Close {
		t.Error("closed before the stop")
	}
	server.stop()
	waitUntilClosed(t, server)
	for !client.get("/healthz").Close {
		// A connection that ends before an answer has said so fails in get.
	}
	if err := <-server.stopped; err != nil {
		t.Error(err)
	}
}

func TestStopTellsHowManyRequestsItCutOff(t *testing.T) {
	server := start(t, func(cfg *config.Config) { cfg.DrainDelay, cfg.ShutdownTimeout = 0, 50*time.Millisecond })
	client := server.dial(t)
	client.send("GET /block HTTP/1.1\r\nHost: test\r\n\r\n")
	<-server.blocked
	server.stop()
	if err := <-server.stopped; err == nil || err.Error() != "1 requests cut off after 50ms" {
		t.Errorf("got %v", err)
	}
}

func TestStopIsNotHeldUpByAConnectionThatSaysNothing(t *testing.T) {
	server := start(t, func(cfg *config.Config) { cfg.DrainDelay, cfg.ShutdownTimeout = 0, 50*time.Millisecond })
	server.dial(t)
	server.dial(t).get("/healthz")
	server.stop()
	if err := <-server.stopped; err != nil {
		t.Errorf("got %v", err)
	}
}

func TestARequestAboveALimitIsRefused(t *testing.T) {
	server := start(t, func(cfg *config.Config) { cfg.MaxBodyBytes = 4 })
	for _, test := range []struct {
		name, request string
		status        int
	}{
		{"body", postHalf + "more", http.StatusRequestEntityTooLarge},
		{"head", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := server.dial(t)
			client.send(test.request)
			if response, _ := client.receive(); response.StatusCode != test.status || !response.Close {
				t.Errorf("got %d, closing %t", response.StatusCode, response.Close)
			}
		})
	}
}

func TestASlowRequestIsCutOff(t *testing.T) {
	server := start(t, func(cfg *config.Config) { cfg.ReadTimeout = 50 * time.Millisecond })
	client := server.dial(t)
	client.send("GET /healthz HTTP/1.1\r\nX-Slow: ")
	if answer, err := io.ReadAll(client.reader); err != nil || len(answer) != 0 {
		t.Errorf("got %q, %v", answer, err)
	}
}

// waitUntilClosed returns when the server accepts no more connections.
func waitUntilClosed(t *testing.T, server running) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", server.address, 20*time.Millisecond)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			conn.Close()
		}
	}
	t.Fatal("still accepting")
}
