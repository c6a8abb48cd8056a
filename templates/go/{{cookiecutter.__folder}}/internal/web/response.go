package web

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// response remembers what was sent, for the access log and for a handler that panics. Libraries that look for
// http.Flusher or http.Hijacker find them; http.ResponseController finds everything that the server's own writer has.
type response struct {
	http.ResponseWriter
	beforeHead func(http.Header)
	patience   time.Duration // for the client to take what is written next; 0 for the server's own limit
	status     int           // 0 until the head is sent
	bytes      int64
	err        error // the first failure to send
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
	if (status >= http.StatusOK || status == http.StatusSwitchingProtocols) && r.status == 0 {
		r.status = status
		r.beforeHead(r.Header())
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *response) Write(body []byte) (int, error) {
	r.begin()
	n, err := r.ResponseWriter.Write(body)
	r.bytes += int64(n)
	r.note(err)
	return n, err
}

// FlushError sends what has been written so far.
func (r *response) FlushError() error {
	r.begin()
	err := http.NewResponseController(r.ResponseWriter).Flush()
	r.note(err)
	return err
}

// Flush is FlushError for those who ask for http.Flusher.
func (r *response) Flush() { r.FlushError() }

// Hijack hands the connection over, to a WebSocket for example.
func (r *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.status = http.StatusSwitchingProtocols
	}
	return conn, buffer, err
}

// Unwrap gives http.ResponseController the server's own writer.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// begin sends the head if there was none, and gives the client its time for what comes next.
func (r *response) begin() {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.extend()
}

// extend makes the write limit one of silence: a long answer, or a late one, is sent as long as the client takes it.
func (r *response) extend() {
	if r.patience > 0 && r.status != http.StatusSwitchingProtocols {
		http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(r.patience))
	}
}

func (r *response) note(err error) {
	if r.err == nil {
		r.err = err
	}
}
