package web

import "net/http"

// response remembers what was sent, for the access log and for a handler that panics.
type response struct {
	http.ResponseWriter
	beforeHead func(http.Header)
	status     int // 0 until the head is sent
	bytes      int64
}

// record returns w as a response, wrapping it unless an outer handler has done so.
func record(w http.ResponseWriter) *response {
	if r, ok := w.(*response); ok {
		return r
	}
	return &response{ResponseWriter: w, beforeHead: func(http.Header) {}}
}

// WriteHeader sends the head; codes under 200 are interim and may come more than once.
func (r *response) WriteHeader(status int) {
	if status >= http.StatusOK && r.status == 0 {
		r.status = status
		r.beforeHead(r.Header())
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *response) Write(body []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(body)
	r.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController the server's own writer.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }
