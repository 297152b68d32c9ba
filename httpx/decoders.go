package httpx

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/reprise-go/reprise/httpx/internal/redact"
)

// Bytes reads the whole body. If the request's context ends meanwhile, at most the first MiB comes
// beside the error.
func Bytes(r *http.Response) ([]byte, error) {
	ctx := contextOf(r)
	parts, err := readParts(r.Body, r.ContentLength)
	if len(parts) == 1 {
		return parts[0], err
	}
	var all bytes.Buffer
	err = join(ctx, &all, parts, err)
	return all.Bytes(), err
}

// Text reads the whole body as it is: if the page is not UTF-8 (windows-1251, Shift_JIS), the
// string is not either. The module httpx/htmlpage has a Text that decodes by the response's
// charset. If the request's context ends meanwhile, at most the first MiB comes beside the error.
func Text(r *http.Response) (string, error) {
	ctx := contextOf(r)
	parts, err := readParts(r.Body, r.ContentLength)
	var all strings.Builder
	err = join(ctx, &all, parts, err)
	return all.String(), err
}

// contextOf is the context of r's request. A RoundTripper may return a body that is in memory with
// a context that is over; then there is nothing to end.
func contextOf(r *http.Response) context.Context {
	if r.Request == nil || r.Request.Context().Err() != nil {
		return context.Background()
	}
	return r.Request.Context()
}

// partSize is the largest part of a body, in bytes, that is worked on without a look at the
// context.
const partSize = 1 << 20

// readParts is io.ReadAll without the joining, which takes long for a large body. length is the
// Content-Length, which may be wrong.
func readParts(body io.Reader, length int64) (parts [][]byte, err error) {
	part := make([]byte, 0, min(max(length+1, 512), partSize))
	for size := 0; ; {
		n, err := body.Read(part[len(part):cap(part)])
		part = part[:len(part)+n]
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return append(parts, part), err
		}
		if len(part) == cap(part) {
			parts, size = append(parts, part), size+len(part)
			part = make([]byte, 0, min(size, partSize))
		}
	}
}

// join appends parts to all, and returns err. When ctx ends it stops: if there is more than
// partSize the rest is left out, and the error is what ended ctx.
func join(
	ctx context.Context, all interface {
		io.Writer
		Grow(int)
		Len() int
	}, parts [][]byte, err error,
) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if ctx.Err() != nil {
		size = min(size, partSize)
	}
	all.Grow(size)
	for _, p := range parts {
		if all.Len()+len(p) > partSize && ctx.Err() != nil {
			return cmp.Or(err, context.Cause(ctx))
		}
		_, _ = all.Write(p)
	}
	return err
}

// JSON decodes a body that is one JSON value, after an optional byte order mark. An empty body,
// such as a 204's, is an error and is retried like one that is cut short. A whole body that is not
// valid JSON for T is fetched once more at most; the error then says what came instead: the status,
// the type, and the first bytes. If such a body is a valid answer, or its error should be final,
// wrap JSON in a Decoder that looks at the status or marks the error. Elsewhere this is SetResult.
//
// encoding/json cannot be interrupted. So a body of more than 256 KiB is decoded in another
// goroutine: if the request's context ends meanwhile, JSON returns at once with a zero value, and
// the goroutine ends when the value is decoded.
func JSON[T any](r *http.Response) (T, error) {
	if 0 <= r.ContentLength && r.ContentLength <= jsonHere {
		return decodeJSON[T](r.Body, whatCame(r))
	}
	start := io.LimitedReader{R: r.Body, N: jsonHere + 1}
	parts, err := readParts(&start, -1)
	if start.N > 0 || err != nil {
		return decodeJSON[T](inTurn(parts, &failing{cmp.Or(err, io.EOF)}), whatCame(r))
	}
	return decodeAside[T](contextOf(r), r, parts)
}

// jsonHere is how many bytes of JSON take only some milliseconds to decode.
const jsonHere = 256 << 10

func inTurn(parts [][]byte, rest io.Reader) io.Reader {
	var readers []io.Reader
	for _, p := range parts {
		readers = append(readers, bytes.NewReader(p))
	}
	return io.MultiReader(append(readers, rest)...)
}

// whatCame names a response in an error: its status and type.
func whatCame(r *http.Response) string {
	kind := cmp.Or(redact.Cut(r.Header.Get("Content-Type")), "no type")
	return redact.Cut(r.Status) + ", " + kind
}

// decodeAside decodes in a goroutine while it reads the body in this one, until ctx ends. start is
// what has been read.
func decodeAside[T any](ctx context.Context, r *http.Response, start [][]byte) (T, error) {
	from, to := io.Pipe()
	what := whatCame(r)
	type outcome struct {
		value    T
		err      error
		panicked any
	}
	done := make(chan outcome, 1)
	go func() {
		o := outcome{panicked: errors.New("httpx.JSON: an UnmarshalJSON ended its goroutine")}
		defer func() {
			if p := recover(); p != nil {
				o.panicked = p
			}
			_ = from.CloseWithError(io.ErrClosedPipe) // nothing more is read
			done <- o
		}()
		o.value, o.err = decodeJSON[T](inTurn(start, from), what)
		o.panicked = nil
	}()
	stop := context.AfterFunc(ctx, func() { _ = from.CloseWithError(context.Cause(ctx)) })
	defer stop()
	defer func() { _ = to.Close() }() // if reading the body panics
	_, err := io.Copy(to, r.Body)
	_ = to.CloseWithError(err) // nil: io.EOF
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		select {
		case o = <-done: // at the same time
		default:
			return o.value, fmt.Errorf("decoding JSON: %w (%s)", context.Cause(ctx), what)
		}
	}
	if o.panicked != nil {
		panic(o.panicked)
	}
	return o.value, o.err
}

// decodeJSON decodes a body; what names its response.
func decodeJSON[T any](from io.Reader, what string) (T, error) {
	var v T
	head := &opening{from: from}
	body := bufio.NewReader(head)
	if bom, _ := body.Peek(3); string(bom) == "\ufeff" {
		_, _ = body.Discard(3)
	}
	d := json.NewDecoder(body)
	err := d.Decode(&v)
	if err == nil {
		if _, err = d.Token(); err == io.EOF { // only the end tells that the body was complete
			return v, nil
		}
		if err == nil || errors.As(err, new(*json.SyntaxError)) {
			err = errMoreJSON
		}
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return v, fmt.Errorf("decoding JSON: %w (%s: %q)", err, what, head.kept)
}

var errMoreJSON = errors.New("more than one value")

// opening keeps the first bytes of what is read.
type opening struct {
	from io.Reader
	kept []byte
}

func (o *opening) Read(p []byte) (int, error) {
	n, err := o.from.Read(p)
	if room := 64 - len(o.kept); room > 0 {
		o.kept = append(o.kept, p[:min(n, room)]...)
	}
	return n, err
}
