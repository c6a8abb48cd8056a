package notes_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"{{ cookiecutter.go_module }}/internal/notes"
)

// api answers requests to an empty store.
type api struct{ *http.ServeMux }

func newAPI() api {
	mux := http.NewServeMux()
	notes.Register(mux, notes.NewStore(10))
	return api{mux}
}

func (a api) do(method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return value
}

func TestANoteIsCreatedReadListedAndDeleted(t *testing.T) {
	api := newAPI()
	created := api.do("POST", "/api/notes", `{"text": "a note"}`)
	note := decode[notes.Note](t, created)
	location := created.Header().Get("Location")
	if created.Code != http.StatusCreated || note.Text != "a note" || location != "/api/notes/"+note.ID {
		t.Fatalf("got %d, %+v, Location %q", created.Code, note, location)
	}
	if age := time.Since(note.CreatedAt); age < 0 || age > time.Minute {
		t.Errorf("created at %s", note.CreatedAt)
	}
	if read := api.do("GET", location, ""); read.Code != http.StatusOK || decode[notes.Note](t, read) != note {
		t.Errorf("got %d %s", read.Code, read.Body)
	}
	type list struct{ Notes []notes.Note }
	if got := decode[list](t, api.do("GET", "/api/notes", "")).Notes; len(got) != 1 || got[0] != note {
		t.Errorf("got %+v", got)
	}
	if deleted := api.do("DELETE", location, ""); deleted.Code != http.StatusNoContent || deleted.Body.Len() != 0 {
		t.Errorf("got %d %s", deleted.Code, deleted.Body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if gone := api.do(method, location, ""); gone.Code != http.StatusNotFound {
			t.Errorf("%s of a deleted note: got %d", method, gone.Code)
		}
	}
}

func TestNoNotesAreAnEmptyList(t *testing.T) {
	if got := strings.TrimSpace(newAPI().do("GET", "/api/notes", "").Body.String()); got != `{"notes":[]}` {
		t.Errorf("got %s", got)
	}
}

func TestATextIsCheckedBeforeItIsStored(t *testing.T) {
	for _, test := range []struct {
		name, body string
		status     int
	}{
		{"the longest text", `{"text": "` + strings.Repeat("é", 1000) + `"}`, http.StatusCreated},
		{"a longer text", `{"text": "` + strings.Repeat("é", 1001) + `"}`, http.StatusUnprocessableEntity},
		{"no text", `{}`, http.StatusUnprocessableEntity},
		{"an empty text", `{"text": ""}`, http.StatusUnprocessableEntity},
		{"spaces", `{"text": " \t\n"}`, http.StatusUnprocessableEntity},
		{"not JSON", `text`, http.StatusBadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newAPI()
			if got := api.do("POST", "/api/notes", test.body); got.Code != test.status {
				t.Errorf("got %d %s", got.Code, got.Body)
			}
			stored := strings.Contains(api.do("GET", "/api/notes", "").Body.String(), `"text"`)
			if want := test.status == http.StatusCreated; stored != want {
				t.Errorf("stored: %t, want %t", stored, want)
			}
		})
	}
}
