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
	"sync"
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
	log     *lines
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// wait returns the log's first line that holds every text.
func (l *lines) wait(t *testing.T, texts ...string) string {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		all := l.text.String()
		l.mu.Unlock()
	next:
		for line := range strings.Lines(all) {
			for _, text := range texts {
				if !strings.Contains(line, text) {
					continue next
				}
			}
			return line
		}
	}
	t.Fatalf("no line of the log holds %q", texts)
	return ""
}

// start serves probes, an echo of POST /echo, GET /block, which lasts until the test ends, and what writes slowly.
func start(t *testing.T, change func(*config.Config)) running {
	t.Helper()
	cfg, err := config.Load(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	cfg.DrainDelay = 100 * time.Millisecond
	change(&cfg)
	log := &lines{}
	server := web.NewServer(cfg, web.NewLogger(log, cfg.LogLevel))

	mux := http.NewServeMux()
	web.RegisterProbes(mux, server.Ready)
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			web.Fail(w, r, web.BodyProblem(err))
			return
		}
		w.Write(body)
	})
	blocked := make(chan struct{})
	mux.HandleFunc("GET /block", func(http.ResponseWriter, *http.Request) {
		blocked <- struct{}{}
		<-t.Context().Done()
	})

	mux.HandleFunc("GET /late", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(3 * cfg.WriteTimeout)
		io.WriteString(w, "late")
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		for range 4 {
			io.WriteString(w, "part;")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			time.Sleep(cfg.WriteTimeout * 3 / 4)
		}
	})
	mux.HandleFunc("GET /endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("GET /hijack", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: test\r\nConnection: Upgrade\r\n\r\n")
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
	return running{server, address, blocked, stop, stopped, log}
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

func TestABodyThatComesTooSlowlyGetsItsAnswer(t *testing.T) {
	// As in the default configuration, where both limits are the same.
	server := start(t, func(cfg *config.Config) {
		cfg.ReadTimeout, cfg.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	client := server.dial(t)
	client.send(postHalf)
	if response, body := client.receive(); response.StatusCode != http.StatusRequestTimeout || !response.Close {
		t.Errorf("got %d %s, closing %t", response.StatusCode, body, response.Close)
	}
	server.log.wait(t, `"path":"/echo"`, `"status":408`)
}

func TestABodyWhoseLengthIsOverTheLimitIsRefusedBeforeItComes(t *testing.T) {
	server := start(t, unchanged)
	for _, head := range []string{"", "Expect: 100-continue\r\n"} {
		client := server.dial(t)
		client.send("POST /echo HTTP/1.1\r\nHost: test\r\n" + head + "Content-Length: 65537\r\n\r\n")
		client.SetDeadline(time.Now().Add(2 * time.Second))
		if response, _ := client.receive(); response.StatusCode != http.StatusRequestEntityTooLarge || !response.Close {
			t.Errorf("got %d, closing %t", response.StatusCode, response.Close)
		}
	}
}

func TestAHandlerThatTakesLongerThanTheWriteLimitIsAnsweredAndLogged(t *testing.T) {
	server := start(t, func(cfg *config.Config) { cfg.WriteTimeout = 100 * time.Millisecond })
	client := server.dial(t)
	client.send("GET /late HTTP/1.1\r\nHost: test\r\n\r\n")
	if response, body := client.receive(); response.StatusCode != http.StatusOK || body != "late" {
		t.Errorf("got %d %q", response.StatusCode, body)
	}
	if line := server.log.wait(t, `"path":"/late"`, `"status":200`); strings.Contains(line, "cut_off") {
		t.Errorf("got %s", line)
	}
}

func TestAStreamLastsLongerThanTheWriteLimit(t *testing.T) {
	server := start(t, func(cfg *config.Config) { cfg.WriteTimeout = 200 * time.Millisecond })
	client := server.dial(t)
	client.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
	if _, body := client.receive(); body != "part;part;part;part;" {
		t.Errorf("got %q", body)
	}
}

func TestAClientThatTakesNothingIsCutOffAndTheLogSaysSo(t *testing.T) {
	server := start(t, func(cfg *config.Config) { cfg.WriteTimeout = 100 * time.Millisecond })
	server.dial(t).send("GET /endless HTTP/1.1\r\nHost: test\r\n\r\n")
	server.log.wait(t, `"path":"/endless"`, `"cut_off":"`)
}

func TestAHandlerCanTakeTheConnectionOver(t *testing.T) {
	server := start(t, unchanged)
	client := server.dial(t)
	client.send("GET /hijack HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	if response, err := http.ReadResponse(client.reader, nil); err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("got %v, %v", response, err)
	}
	server.log.wait(t, `"path":"/hijack"`, `"status":101`)
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
