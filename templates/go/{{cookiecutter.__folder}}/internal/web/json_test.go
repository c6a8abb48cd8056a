package web_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"{{ cookiecutter.go_module }}/internal/web"
)

func TestABodyThatComesTooSlowlyIsA408(t *testing.T) {
	r := httptest.NewRequest("POST", "/", iotest.ErrReader(os.ErrDeadlineExceeded))
	r.Header.Set("Content-Type", "application/json")
	if _, problem := web.ReadJSON[int](r); problem == nil || problem.Status != http.StatusRequestTimeout {
		t.Errorf("got %+v", problem)
	}
}

func TestReadJSONIsStrict(t *testing.T) {
	for _, test := range []struct {
		name, contentType, body string
		status                  int // 0 when the body is taken
	}{
		{"a plain body", "application/json", `{"size": 1}`, 0},
		{"a charset", "application/json; charset=utf-8", `{"size": 1}`, 0},
		{"space around", "application/json", " {\"size\": 1}\n", 0},
		{"no content type", "", `{"size": 1}`, http.StatusUnsupportedMediaType},
		{"a form", "application/x-www-form-urlencoded", "size=1", http.StatusUnsupportedMediaType},
		{"no body", "application/json", "", http.StatusBadRequest},
		{"half a body", "application/json", `{"size":`, http.StatusBadRequest},
		{"another type", "application/json", `{"size": "large"}`, http.StatusBadRequest},
		{"an unknown name", "application/json", `{"size": 1, "colour": 2}`, http.StatusBadRequest},
		{"a repeated name", "application/json", `{"size": 1, "size": 2}`, http.StatusBadRequest},
		{"a second value", "application/json", `{"size": 1} {}`, http.StatusBadRequest},
		{"too large", "application/json", `{"size": 1` + strings.Repeat(" ", 64) + `}`, http.StatusRequestEntityTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			r.Body = http.MaxBytesReader(nil, r.Body, 40)
			value, problem := web.ReadJSON[struct {
				Size int `json:"size"`
			}](r)
			switch {
			case test.status == 0 && (problem != nil || value.Size != 1):
				t.Errorf("got %+v, %+v", value, problem)
			case test.status != 0 && problem != nil && strings.Contains(problem.Detail, "Go "):
				t.Errorf("the detail names a Go type: %s", problem.Detail)
			case test.status != 0 && (problem == nil || problem.Status != test.status || problem.Detail == ""):
				t.Errorf("got %+v, want status %d", problem, test.status)
			}
		})
	}
}
