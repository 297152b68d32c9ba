package httpx

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/reprise-go/reprise/httpx/internal/field"
)

// ErrEncoding is the error of a response in a Content-Encoding that the client cannot read: see
// [Decompress]. It is final, because the next attempt would get the same.
var ErrEncoding = errors.New("unsupported content encoding")

// maxCodings bounds how many encodings a body may have on top of each other. One is usual; each
// further one multiplies the size that a compression bomb unpacks to.
const maxCodings = 2

// maxEncoding bounds how much of a Content-Encoding is read.
const maxEncoding = 1 << 10

// An expander makes a reader of decoded bytes from one of encoded bytes. If the new reader is an
// io.Closer it is closed too.
type expander = func(io.Reader) (io.Reader, error)

// If the user sets no bound, the size of an unpacked body is bounded by the bytes that were sent,
// as in Apache POI and Tika: text is rarely packed to less than a twentieth of its size, a gzip
// bomb to a thousandth. So a bomb ends at about 64 MiB, and a large file passes, whatever its size.
const (
	freeBytes = 64 << 20
	maxRatio  = 100
)

// decodeBody undoes the Content-Encoding that net/http has left on resp (net/http removes only the
// gzip it asked for itself) and bounds the body to limit bytes. If limit is 0 a decoded body is
// bounded to 64 MiB or 100 times the bytes that were sent, and a body that is not encoded has no
// bound. A read past the bound fails with *http.MaxBytesError; nothing is cut off silently. gzip
// and deflate (in zlib's format, or raw as some servers send it) are built in; br, zstd and others
// need an entry in more, by lower-case name.
//
// Like net/http it drops Content-Encoding and Content-Length and sets Uncompressed. Nothing is read
// before the first Read. On an error resp is unchanged and its body is still the caller's to close.
func decodeBody(
	ctx context.Context, resp *http.Response, limit int64, more map[string]expander,
) error {
	body := resp.Body
	if body == nil || body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	codings, err := codingsOf(resp.Header, more)
	if err != nil {
		return err
	}
	wire := &counter{ReadCloser: body}
	bound := func(r io.ReadCloser) io.ReadCloser {
		if limit <= 0 {
			return &measured{counter{ReadCloser: r}, wire}
		}
		return http.MaxBytesReader(nil, r, limit)
	}
	if len(codings) == 0 {
		if limit > 0 {
			resp.Body = bound(body)
		}
		return nil
	}
	// The layers between are bounded as well, because one may consist of a million empty gzip
	// members.
	body = wire
	for i := len(codings) - 1; i >= 0; i-- {
		body = bound(&expanding{
			name: codings[i].name, open: codings[i].open, from: body, ctx: ctx,
		})
	}
	unpacked(resp, body)
	return nil
}

func unpacked(resp *http.Response, body io.ReadCloser) {
	resp.Body = body
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	resp.Uncompressed = true
}

// gunzip does what net/http does if it has asked for gzip itself.
func gunzip(ctx context.Context, resp *http.Response) {
	if resp.Body != http.NoBody && strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		unpacked(resp, &expanding{
			name: "gzip", open: openGzip, from: resp.Body, ctx: ctx,
		})
	}
}

func openGzip(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }

type counter struct {
	io.ReadCloser
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	return n, err
}

// measured fails when it has returned too many bytes for those that came over the wire.
type measured struct {
	counter
	wire *counter
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.counter.Read(p)
	if most := max(freeBytes, maxRatio*m.wire.n); m.n > most {
		return 0, fmt.Errorf("the body unpacks to over %d times what was sent: %w",
			maxRatio, &http.MaxBytesError{Limit: most})
	}
	return n, err
}

// packs are the content codings that IANA has registered, except identity.
var packs = map[string]bool{
	"aes128gcm": true, "br": true, "compress": true, "dcb": true, "dcz": true, "deflate": true,
	"exi": true, "gzip": true, "pack200-gzip": true, "x-compress": true, "x-gzip": true,
	"zstd": true,
}

type coding struct {
	name string
	open expander
}

// codingsOf lists the encodings in the order in which they were applied.
func codingsOf(h http.Header, more map[string]expander) (codings []coding, err error) {
	encoding := strings.Join(h.Values("Content-Encoding"), ",")
	if len(encoding) > maxEncoding {
		return nil, answered(fmt.Errorf("%w: a field of more than %d bytes",
			ErrEncoding, maxEncoding))
	}
	for name := range strings.SplitSeq(encoding, ",") {
		name = strings.ToLower(field.Trim(name))
		open := more[name]
		switch {
		case open != nil:
		case !packs[name]: // "utf-8", "none", "binary": some servers write these here
			continue
		case name == "gzip" || name == "x-gzip":
			open = openGzip
		case name == "deflate":
			open = inflate
		default:
			return nil, answered(fmt.Errorf("%w %q: no decoder for it was given",
				ErrEncoding, name))
		}
		if codings = append(codings, coding{name, open}); len(codings) > maxCodings {
			return nil, answered(fmt.Errorf("%w: more than %d encodings of one body",
				ErrEncoding, maxCodings))
		}
	}
	return codings, nil
}

// packing is the Content-Encoding of h; empty if it does not encode the body.
func packing(h http.Header, more map[string]expander) string {
	encoding := strings.Join(h.Values("Content-Encoding"), ",")
	if len(encoding) > maxEncoding {
		return encoding
	}
	for name := range strings.SplitSeq(strings.ToLower(encoding), ",") {
		if name = field.Trim(name); packs[name] || more[name] != nil {
			return encoding
		}
	}
	return ""
}

// inflate reads zlib's format (RFC 1950), which HTTP calls deflate, and the raw one (RFC 1951). It
// tells them apart by the checksum in zlib's first two bytes.
func inflate(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(2)
	if err == nil && head[0]&0x0f == 8 && head[0]>>4 <= 7 &&
		(int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(b)
	}
	return flate.NewReader(b), nil
}

// expanding is a decoded body. It opens its decoder at the first Read, because opening reads
// already. Like net/http's bodies it may be closed while a Read is under way, which ends the Read.
// It ends with the attempt's context also if the encoded bytes are all there: a bomb is short.
type expanding struct {
	name string
	open expander
	from io.ReadCloser
	ctx  context.Context

	mu  sync.Mutex // held by Read
	to  io.Reader
	err error
}

func (e *expanding) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return 0, e.err
	}
	if e.ctx.Err() != nil {
		e.err = context.Cause(e.ctx)
		return 0, e.err
	}
	if e.to == nil {
		b := bufio.NewReader(e.from)
		if _, err := b.Peek(1); err != nil {
			e.err = err // io.EOF: an empty body is empty in any encoding
			return 0, err
		}
		to, err := e.open(b)
		if err == nil && to == nil {
			err = errors.New("its decoder gave no reader")
		}
		if err != nil { // then to must not be used: it may hold a nil pointer
			e.err = err
			e.fail()
			return 0, e.err
		}
		e.to = to
	}
	n, err := e.to.Read(p)
	if err != nil {
		if e.err = err; err != io.EOF {
			e.fail()
		}
	}
	return n, e.err
}

// fail adds the name of the encoding to the error. A stream that ends within its header is cut
// short, even if the decoder calls that io.EOF.
func (e *expanding) fail() {
	if e.err == io.EOF {
		e.err = io.ErrUnexpectedEOF
	}
	e.err = fmt.Errorf("content encoding %s: %w", e.name, e.err)
}

func (e *expanding) Close() error {
	err := e.from.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.to.(io.Closer); ok {
		_ = c.Close() // the error that counts is the connection's
	}
	if e.err == nil {
		e.err = http.ErrBodyReadAfterClose
	}
	return err
}
