package httpx

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
)

// errNoReplay is why there is no further attempt.
var errNoReplay = errors.New("the body cannot be sent again without GetBody")

// body sets the body of this attempt's request.
func (x *exchange) body(req *http.Request) error {
	x.upload = nil
	switch {
	case !hasBody(x.req):
	case x.stream != nil:
		req.Body = x.stream.open()
	default:
		body, err := x.req.GetBody()
		if err != nil {
			return err
		}
		req.Body = body
	}
	return nil
}

// reopens tells whether the body can be sent in another attempt.
func (x *exchange) reopens() bool { return x.stream == nil || x.stream.unread() }

// closeBody closes the caller's body unless an attempt closes it.
func (x *exchange) closeBody() {
	switch {
	case x.req.Body == nil:
	case x.stream != nil:
		x.stream.end()
	case x.sent == 0 || x.req.GetBody != nil: // attempts send what GetBody gives
		_ = x.req.Body.Close()
	}
}

// stream is a request's body that can be read only once. As long as none of it was read it can be
// sent again.
type stream struct {
	from io.ReadCloser

	mu     sync.Mutex
	last   *opened // that of the newest attempt
	reader *opened // that of the attempt that has begun to read; nil: none
	over   bool    // no attempt will follow
	closed bool    // from is closed
}

// opened is the stream as one attempt sees it.
type opened struct {
	stream *stream
	closed bool // under stream.mu
}

func (s *stream) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reader == nil
}

// open gives the stream to a new attempt and takes it from the one before. If that one has begun to
// read meanwhile, reads of the new one fail.
func (s *stream) open() *opened {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = &opened{stream: s}
	return s.last
}

// end is called when no attempt will follow. It closes the stream if none of it was read; otherwise
// the attempt that reads it does.
func (s *stream) end() {
	s.mu.Lock()
	s.over = true
	mine := !s.closed && s.reader == nil && (s.last == nil || s.last.closed)
	s.closed = s.closed || mine
	s.mu.Unlock()
	if mine {
		_ = s.from.Close()
	}
}

func (o *opened) Read(p []byte) (int, error) {
	s := o.stream
	s.mu.Lock()
	if o.closed || o != s.last || s.reader != nil && s.reader != o {
		s.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	s.reader = o
	s.mu.Unlock()
	return s.from.Read(p)
}

// Close leaves the stream open if none of it was read: another attempt may want it.
func (o *opened) Close() error {
	s := o.stream
	s.mu.Lock()
	o.closed = true
	mine := !s.closed && (s.reader == o || s.reader == nil && s.over)
	s.closed = s.closed || mine
	s.mu.Unlock()
	if mine {
		return s.from.Close()
	}
	return nil
}

// upload is a request's body on the wire. If it fails by itself, or has another length than
// announced (a file that was cut between two attempts), that is not the server's fault: the clients
// of a proxy go away when they like, and must not open the breaker for the servers behind it.
type upload struct {
	io.ReadCloser
	length int64 // 0 or less: unknown
	read   int64
	err    atomic.Pointer[error] // atomic: net/http may read on after the response has come
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if u.read += int64(n); err == io.EOF && u.length > 0 && u.read != u.length {
		err = fmt.Errorf("it has %d bytes, not %d", u.read, u.length)
	}
	if err != nil && err != io.EOF {
		own := err // a copy, so that err itself stays off the heap
		u.err.Store(&own)
	}
	return n, err
}

// failed tells whether err, an attempt's error, comes from the body.
func (u *upload) failed(err error) bool {
	if u == nil {
		return false
	}
	own := u.err.Load()
	return own != nil && errors.Is(err, *own)
}

// hooks runs the functions of EachAttempt. If they replace the body, the given one is closed
// together with the new one, which may wrap it; if nothing will be sent it is closed here. The
// given body is wrapped in a pointer to tell the two apart, because not all bodies can be compared.
func (x *exchange) hooks(req *http.Request) error {
	if len(x.each) == 0 {
		return nil
	}
	var given *givenBody
	if hasBody(req) {
		given = &givenBody{req.Body}
		req.Body = given
	}
	passed := false
	defer func() {
		switch {
		case given != nil && req.Body == given:
			req.Body = given.ReadCloser
		case given != nil && hasBody(req):
			req.Body = &replacedBody{req.Body, given}
		case given != nil:
			_ = given.Close()
		}
		if !passed && req.Body != nil {
			_ = req.Body.Close()
		}
	}()
	for _, f := range x.each {
		if err := f(x.sent+1, req); err != nil {
			return err
		}
	}
	passed = true
	return nil
}

type givenBody struct{ io.ReadCloser }

type replacedBody struct {
	io.ReadCloser
	given io.Closer
}

func (b *replacedBody) Close() error {
	err := b.ReadCloser.Close()
	_ = b.given.Close()
	return err
}

// replayable returns req, or a copy with ContentLength and GetBody if the body is a file or another
// io.ReaderAt of known size. The body begins at its present offset.
func replayable(req *http.Request) *http.Request {
	if req == nil || !hasBody(req) || req.GetBody != nil {
		return req
	}
	body := withoutNopCloser(req.Body)
	at, ok := body.(io.ReaderAt)
	if !ok {
		return req
	}
	from, size := extent(body)
	if size < 0 {
		return req
	}
	if req.ContentLength > 0 {
		size = min(size, req.ContentLength)
	}
	r := *req
	r.ContentLength = size
	if size == 0 {
		_ = req.Body.Close()
		r.Body, r.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return &r
	}
	f := &replay{at: at, from: from, size: size, closer: req.Body}
	r.Body, r.GetBody = f.open(), func() (io.ReadCloser, error) { return f.open(), nil }
	return &r
}

// extent returns the body's present offset and how many bytes follow; -1: unknown.
func extent(body io.Reader) (from, size int64) {
	switch b := body.(type) {
	case interface{ Stat() (os.FileInfo, error) }:
		info, err := b.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return 0, -1
		}
		size = info.Size()
	case interface{ Size() int64 }:
		size = b.Size()
	default:
		return 0, -1
	}
	if s, ok := body.(io.Seeker); ok {
		var err error
		if from, err = s.Seek(0, io.SeekCurrent); err != nil { // moves nothing
			return 0, -1
		}
	}
	return from, max(size-from, 0)
}

var (
	nopCloser         = reflect.TypeOf(io.NopCloser(struct{ io.Reader }{}))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{}))
)

// withoutNopCloser takes off the io.NopCloser that http.NewRequest has put around a body. net/http
// looks into it in the same way.
func withoutNopCloser(body io.Reader) io.Reader {
	if t := reflect.TypeOf(body); t == nopCloser || t == nopCloserWriterTo {
		if r, ok := reflect.ValueOf(body).Field(0).Interface().(io.Reader); ok {
			return r
		}
	}
	return body
}

// replay is a body that can be read from its beginning several times. It is closed when the call is
// over and its last reader is closed: a transport may read on after the response has come.
type replay struct {
	at         io.ReaderAt
	from, size int64
	closer     io.Closer

	mu      sync.Mutex
	readers int
	over    bool
}

type replayed struct {
	*io.SectionReader
	of     *replay
	closed sync.Once
}

func (f *replay) open() *replayed {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
	return &replayed{SectionReader: io.NewSectionReader(f.at, f.from, f.size), of: f}
}

func (r *replayed) Close() (err error) {
	r.closed.Do(func() { err = r.of.change(func(f *replay) { f.readers-- }) })
	return err
}

// change changes readers or over, and closes the body if that makes it unused.
func (f *replay) change(how func(*replay)) error {
	f.mu.Lock()
	was := f.unused()
	how(f)
	is := f.unused()
	f.mu.Unlock()
	if is && !was {
		return f.closer.Close()
	}
	return nil
}

func (f *replay) unused() bool { return f.over && f.readers == 0 }

// release tells a body made by replayable that the call is over.
func release(req *http.Request) {
	if r, ok := req.Body.(*replayed); ok {
		_ = r.of.change(func(f *replay) { f.over = true })
	}
}
