package httpx

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// How much of a rejected body is read ahead, and for how long, so that its connection is free
// before the wait begins.
const (
	prefetchBytes = 64 << 10
	prefetchTime  = 200 * time.Millisecond
)

// prefetch reads the beginning of resp's body into memory. If that is all of it, the connection is
// free and the body can still be handed back. Otherwise the rest stays on the connection until the
// body is closed. A goroutine reads, because a Read cannot be interrupted without losing the
// connection; closing the body ends it. If it is done in time, prefetch returns what was read,
// which must not be changed, because the body shares it.
func prefetch(resp *http.Response, l *lifetime) []byte {
	if resp.Body == nil || resp.Body == http.NoBody || resp.ContentLength > prefetchBytes {
		return nil
	}
	h := &heldBody{
		from:  resp.Body,
		ahead: io.LimitedReader{R: resp.Body, N: prefetchBytes + 1},
		over:  make(chan bool, 2),
	}
	h.reading.Add(1)
	go h.fill(resp.ContentLength)
	inTime := l.await(h)
	resp.Body = h
	if !inTime {
		return nil
	}
	head := h.head.Bytes()
	n := min(len(head), prefetchBytes)
	return head[:n:n]
}

// heldBody is a body whose beginning is read ahead. Until reading is done, only fill may use its
// other fields.
type heldBody struct {
	from    io.ReadCloser
	ahead   io.LimitedReader // of from
	over    chan bool        // gets true when the reading is over, false when its time is
	reading sync.WaitGroup
	head    bytes.Buffer
	err     error // how the read-ahead ended; nil: there is more in from
}

func (h *heldBody) fill(length int64) {
	defer func() {
		// a panic of the user's decoder, which would end the process here
		if p := recover(); p != nil {
			h.err = fmt.Errorf("reading a rejected body: panic: %v", p)
			_ = h.from.Close()
		}
		h.reading.Done()
		h.over <- true
	}()
	// ReadFrom needs spare room to see the end.
	h.head.Grow(int(max(length, 0)) + bytes.MinRead)
	read, err := h.head.ReadFrom(&h.ahead)
	switch {
	case err != nil:
		h.err = err
	case read <= prefetchBytes:
		h.err = io.EOF
	}
	if h.err != nil {
		_ = h.from.Close() // nothing more comes: the connection is free, or lost
	}
}

func (h *heldBody) Read(p []byte) (int, error) {
	h.reading.Wait()
	if h.head.Len() > 0 {
		return h.head.Read(p)
	}
	if h.err != nil {
		return 0, h.err
	}
	return h.from.Read(p)
}

func (h *heldBody) Close() error { return h.from.Close() }

// rewinder is the body while predicates look at it: it keeps what they read, and closing it has no
// effect.
type rewinder struct {
	from io.ReadCloser
	kept []byte
	off  int
	err  error
}

func (b *rewinder) Read(p []byte) (int, error) {
	if b.off < len(b.kept) {
		n := copy(p, b.kept[b.off:])
		b.off += n
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.from.Read(p)
	b.kept, b.err = append(b.kept, p[:n]...), err
	b.off += n
	return n, err
}

func (b *rewinder) Close() error { return nil }

// restored returns the body as it was before the predicates read it.
func (b *rewinder) restored() io.ReadCloser {
	if len(b.kept) == 0 && b.err == nil {
		return b.from
	}
	rest := io.Reader(b.from)
	if b.err != nil {
		rest = &failing{b.err}
	}
	return &joined{io.MultiReader(bytes.NewReader(b.kept), rest), b.from}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
