package httpx

import (
	"errors"
	"io"
	"sync/atomic"
)

// upload is a request's body that can be read once only: a stream, which may break off by itself. That is no fault of the
// server's: a proxy's clients, who go away as they like, must not open the breaker of what is behind it.
type upload struct {
	io.ReadCloser
	err atomic.Pointer[error] // net/http may still read when it has answered
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		u.err.Store(&err)
	}
	return n, err
}

// ended tells whether err, of an attempt, is the body's own.
func (u *upload) ended(err error) bool {
	own := u.err.Load()
	return own != nil && errors.Is(err, *own)
}
