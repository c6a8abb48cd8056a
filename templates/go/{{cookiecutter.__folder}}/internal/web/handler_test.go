package web_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"{{ cookiecutter.go_module }}/internal/web"
)

// ask sends one request through Handler and returns the answer and the log's lines.
func ask(t *testing.T, mux *http.ServeMux, level slog.Level, r *http.Request) (*http.Response, []map[string]any) {
	t.Helper()
	var log bytes.Buffer
	recorder := httptest.NewRecorder()
	web.Handler(web.NewLogger(&log, level), 1<<10, mux).ServeHTTP(recorder, r)
	var lines []map[string]any
	for decoder := json.NewDecoder(&log); decoder.More(); {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			t.Fatalf("the log is not JSON: %v", err)
		}
		lines = append(lines, line)
	}
	return recorder.Result(), lines
}

// problem decodes a problem body.
func problem(t *testing.T, response *http.Response) web.Problem {
	t.Helper()
	if kind := response.Header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("got content type %q", kind)
	}
	var body web.Problem
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return body
}

func muxWith(pattern string, handle http.HandlerFunc) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, handle)
	return mux
}

func TestAWellFormedRequestIDIsKeptAndAnyOtherReplaced(t *testing.T) {
	mux := muxWith("GET /", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, web.RequestID(r.Context())) })
	for id, kept := range map[string]bool{
		"a":                     true,
		"Az09._-":               true,
		strings.Repeat("x", 64): true,
		"":                      false,
		strings.Repeat("x", 65): false,
		"a b":                   false,
		"a\nb":                  false,
		`a"b`:                   false,
		"é":                     false,
	} {
		t.Run(id, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("X-Request-Id", id)
			response, log := ask(t, mux, slog.LevelInfo, r)
			got := response.Header.Get("X-Request-Id")
			if (got == id) != kept || got == "" {
				t.Errorf("got %q", got)
			}
			if body, _ := io.ReadAll(response.Body); string(body) != got {
				t.Errorf("the handler saw %q, the client %q", body, got)
			}
			if log[0]["request_id"] != got {
				t.Errorf("the log has %v, the client %q", log[0]["request_id"], got)
			}
		})
	}
}

func TestEachRequestIsOneLogLine(t *testing.T) {
	mux := muxWith("POST /things", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "four")
	})
	_, log := ask(t, mux, slog.LevelInfo, httptest.NewRequest("POST", "/things?secret=1", nil))
	if len(log) != 1 {
		t.Fatalf("got %d lines", len(log))
	}
	for key, want := range map[string]any{
		"level": "INFO", "msg": "request", "method": "POST", "path": "/things", "status": 202.0, "bytes": 4.0,
	} {
		if log[0][key] != want {
			t.Errorf("%s is %v, want %v", key, log[0][key], want)
		}
	}
	if duration, ok := log[0]["duration_ms"].(float64); !ok || duration < 0 {
		t.Errorf("duration_ms is %v", log[0]["duration_ms"])
	}
}

func TestProbesAreLoggedAtDebugOnly(t *testing.T) {
	mux := http.NewServeMux()
	web.RegisterProbes(mux, func() bool { return true })
	for _, path := range []string{"/healthz", "/readyz"} {
		if _, log := ask(t, mux, slog.LevelInfo, httptest.NewRequest("GET", path, nil)); len(log) != 0 {
			t.Errorf("%s at info: got %v", path, log)
		}
		if _, log := ask(t, mux, slog.LevelDebug, httptest.NewRequest("GET", path, nil)); len(log) != 1 {
			t.Errorf("%s at debug: got %v", path, log)
		}
	}
}

func TestAnUnmatchedRequestGetsAProblem(t *testing.T) {
	mux := muxWith("GET /things", func(http.ResponseWriter, *http.Request) {})
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/nothing", http.StatusNotFound, ""},
		{"POST", "/things", http.StatusMethodNotAllowed, "GET, HEAD"},
	} {
		t.Run(test.method+test.path, func(t *testing.T) {
			response, log := ask(t, mux, slog.LevelInfo, httptest.NewRequest(test.method, test.path, nil))
			body := problem(t, response)
			if response.StatusCode != test.status || response.Header.Get("Allow") != test.allow {
				t.Errorf("got %d, Allow %q", response.StatusCode, response.Header.Get("Allow"))
			}
			if body.Status != test.status || body.Title != http.StatusText(test.status) || body.RequestID == "" {
				t.Errorf("got %+v", body)
			}
			if log[0]["status"] != float64(test.status) {
				t.Errorf("the log has status %v", log[0]["status"])
			}
		})
	}
}

func TestAPanicIsA500AndALogLine(t *testing.T) {
	mux := muxWith("GET /", func(http.ResponseWriter, *http.Request) { panic("a nail") })
	response, log := ask(t, mux, slog.LevelInfo, httptest.NewRequest("GET", "/", nil))
	if body := problem(t, response); response.StatusCode != 500 || body.Status != 500 || body.Detail != "" {
		t.Errorf("got %d, %+v", response.StatusCode, body)
	}
	if len(log) != 2 || log[0]["cause"] != "a nail" || log[0]["request_id"] == nil || log[1]["status"] != 500.0 {
		t.Errorf("got %v", log)
	}
	if stack, _ := log[0]["stack"].(string); !strings.Contains(stack, "handler_test.go") {
		t.Errorf("the stack does not name the place: %s", stack)
	}
}

func TestAPanicAfterTheHeadCutsTheConnection(t *testing.T) {
	mux := muxWith("GET /", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "half")
		panic("a nail")
	})
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler {
			t.Errorf("got panic %v", cause)
		}
	}()
	ask(t, mux, slog.LevelInfo, httptest.NewRequest("GET", "/", nil))
	t.Error("the response looks complete")
}

func TestVersionSaysWhatIsDeployed(t *testing.T) {
	mux := http.NewServeMux()
	web.RegisterVersion(mux, "1.2.3", "abc")
	response, _ := ask(t, mux, slog.LevelInfo, httptest.NewRequest("GET", "/version", nil))
	var body struct{ Version, Revision string }
	err := json.NewDecoder(response.Body).Decode(&body)
	if err != nil || body.Version != "1.2.3" || body.Revision != "abc" {
		t.Errorf("got %+v, %v", body, err)
	}
}
