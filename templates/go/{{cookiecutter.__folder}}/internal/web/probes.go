package web

import "net/http"

const (
	livePath  = "/healthz"
	readyPath = "/readyz"
)

// RegisterProbes adds the health probes: the process answers (live), and it wants new work (ready).
func RegisterProbes(mux *http.ServeMux, ready func() bool) {
	mux.HandleFunc("GET "+livePath, func(w http.ResponseWriter, _ *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET "+readyPath, func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "draining"})
			return
		}
		WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// RegisterVersion adds /version, which says what is deployed.
func RegisterVersion(mux *http.ServeMux, version, revision string) {
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		WriteJSON(w, http.StatusOK, struct {
			Version  string `json:"version"`
			Revision string `json:"revision"`
		}{version, revision})
	})
}
