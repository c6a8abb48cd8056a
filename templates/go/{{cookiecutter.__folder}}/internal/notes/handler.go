package notes

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"{{ cookiecutter.go_module }}/internal/web"
)

const (
	path    = "/api/notes"
	maxText = 1000 // characters
)

// Register adds the routes of the notes in store.
func Register(mux *http.ServeMux, store *Store) {
	h := handler{store}
	mux.HandleFunc("GET "+path, h.list)
	mux.HandleFunc("POST "+path, h.create)
	mux.HandleFunc("GET "+path+"/{id}", h.get)
	mux.HandleFunc("DELETE "+path+"/{id}", h.delete)
}

type handler struct{ store *Store }

func (h handler) list(w http.ResponseWriter, _ *http.Request) {
	web.WriteJSON(w, http.StatusOK, struct {
		Notes []Note `json:"notes"`
	}{h.store.All()})
}

func (h handler) create(w http.ResponseWriter, r *http.Request) {
	draft, problem := web.ReadJSON[draft](r)
	if problem == nil {
		problem = draft.check()
	}
	if problem != nil {
		web.Fail(w, r, problem)
		return
	}
	note := h.store.Add(draft.Text)
	w.Header().Set("Location", path+"/"+note.ID)
	web.WriteJSON(w, http.StatusCreated, note)
}

func (h handler) get(w http.ResponseWriter, r *http.Request) {
	note, ok := h.store.Get(r.PathValue("id"))
	if !ok {
		web.Fail(w, r, notFound(r))
		return
	}
	web.WriteJSON(w, http.StatusOK, note)
}

func (h handler) delete(w http.ResponseWriter, r *http.Request) {
	if !h.store.Delete(r.PathValue("id")) {
		web.Fail(w, r, notFound(r))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// draft is a note as a client sends it.
type draft struct {
	Text string `json:"text"`
}

func (d draft) check() *web.Problem {
	if strings.TrimSpace(d.Text) == "" {
		return web.Problemf(http.StatusUnprocessableEntity, "text must not be empty")
	}
	if n := utf8.RuneCountInString(d.Text); n > maxText {
		return web.Problemf(http.StatusUnprocessableEntity, "text must have at most %d characters, not %d", maxText, n)
	}
	return nil
}

func notFound(r *http.Request) *web.Problem {
	return web.Problemf(http.StatusNotFound, "there is no note %q", r.PathValue("id"))
}
