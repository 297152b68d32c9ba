package httpx

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/httpx/internal/field"
	"github.com/reprise-go/reprise/retry"
)

// Save downloads url into a file, of any size in constant memory, and returns how many bytes the
// file has. It is retried like [Fetch], inside the client's chain. A download that was cut off
// continues where it stopped: in the next attempt, and in the next Save of the same url to the same
// file, even after the process was killed. Every attempt counts, however much it brought; with
// policies.ResetAfter an attempt that ran long enough starts the count again.
//
// It continues only if the server names the representation by a strong ETag (RFC 9110, section
// 8.8.3; a weak one does not promise equal bytes) and answers If-Range with exactly the missing
// part: offset, total length, ETag and address must fit. (Only the query of the address may differ,
// because signed redirects change it.) Otherwise, or if the stored part is damaged, it starts over.
//
// The body is written to a temporary file in the same directory, named .<file>.<hash>.part, of mode
// 0600, which also holds the ETag and a checksum. It is renamed to file when it is whole, so file
// is always the old one or the whole new one. The new file has the mode of the one it replaces,
// else 0600; a link is replaced, not followed. After an error the temporary file stays if it can be
// continued, and n tells how many bytes it holds. The hash is of the url and of the request's
// header as options set it (without User-Agent), so one identity never continues what another has
// begun, and no name shows a secret. Credentials that [EachAttempt] or a cookie jar add are not a
// part of the hash.
//
// A second Save of a file while one is under way fails at once with [ErrBusy]: within a process by
// the file's path, across processes by a lock on the temporary file, which ends with its process.
// (Two processes may save different URLs to one file at the same time; the whole file that came
// last stays. On Plan 9, AIX, Solaris and WebAssembly there is no such lock.)
//
// The request says Accept-Encoding: identity unless the header says otherwise. If the server
// compresses the body nevertheless it is unpacked as under Fetch, and then cannot be continued. An
// archive, by its name or type, is not unpacked: a .tar.gz stays one even if the server declares
// its gzip as a Content-Encoding.
//
// Save does not call fsync. What a killed process has written is kept; a power failure may lose any
// of it. A part's checksum is checked before it is continued. If the file must be on disk, open and
// sync it when Save has returned.
//
// An error of the disk is final and does not count against the server. [MaxBody] bounds the file.
// The error Is [retry.ErrConfig] if file is not the name of a file, or an option sets Range or
// If-Range.
func Save(ctx context.Context, c *Client, url, file string, opts ...Option) (n int64, err error) {
	req, err := newRequest(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	c = c.With(opts...)
	if req, err = c.ready(req); err != nil {
		return 0, err
	}
	if name := filepath.Base(file); file == "" || name == "." || name == ".." ||
		name == string(filepath.Separator) ||
		strings.HasSuffix(file, "/") || strings.HasSuffix(file, string(filepath.Separator)) {
		return 0, retry.ConfigErrorf("httpx.Save", "file %q: must be the name of a file", file)
	}
	if !resumable(req) {
		return 0, retry.ConfigErrorf("httpx.Save",
			"Header: must not set Range or If-Range, Save does")
	}
	p, err := openPart(file, identity(req))
	if errors.Is(err, ErrBusy) {
		return 0, err
	} else if err != nil {
		return 0, fmt.Errorf("httpx.Save: %w", err)
	}
	defer p.close()
	s := &saving{
		part: p, maxBody: c.cfg.maxBody, decoders: c.cfg.decoders, buf: make([]byte, 128<<10),
	}
	if err := p.recall(ctx, s.buf); err != nil {
		return p.Have, fmt.Errorf("httpx.Save: %w", err)
	}
	k := &fetching{decode: s.store, resume: s}
	if err := k.do(c, req); err != nil {
		if p.resumable() {
			err = fmt.Errorf("%w (%s kept for the next Save)", err, p.progress())
		}
		return p.Have, err
	}
	if err := p.finish(); err != nil {
		return p.Have, fmt.Errorf("httpx.Save: %w", err)
	}
	return p.Have, nil
}

func (n *note) progress() string {
	if n.Total < 0 {
		return fmt.Sprintf("%d bytes", n.Have)
	}
	return fmt.Sprintf("%d of %d bytes", n.Have, n.Total)
}

// identity tells whose part it is: a hash of the URL and of the request's header.
func identity(req *http.Request) [16]byte {
	u := *req.URL
	u.Fragment, u.RawFragment = "", ""
	h := sha256.New()
	_, _ = io.WriteString(h, u.String()+"\x00"+req.Host+"\x00")
	_ = req.Header.WriteSubset(h, map[string]bool{"User-Agent": true})
	return [16]byte(h.Sum(nil)[:16])
}

// saving is the transfer of one Save. Its attempts follow each other.
type saving struct {
	part     *partFile
	maxBody  int64
	decoders map[string]expander
	buf      []byte

	// The response that store is about to read.
	whole bool  // it is the whole body, not a part
	next  note  // the note for the whole body
	at    int64 // where in the body a part begins
	end   int64 // where in the body it ends; -1 unknown
}

var _ resumer = (*saving)(nil)

// roundTrip asks for the missing part if what is there can be continued. A part that fits has
// status 200 too, so that predicates treat it like the whole.
func (s *saving) roundTrip(
	req *http.Request, send func(*http.Request) (*http.Response, error),
) (*http.Response, error) {
	if !resumable(req) {
		return nil, notSent(errors.New(
			"EachAttempt must not change method, body, Range or If-Range of a Save"))
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if req.Header.Get("Accept-Encoding") == "" {
		req.Header.Set("Accept-Encoding", "identity")
	}
	foreign := send
	send = func(req *http.Request) (*http.Response, error) { // some RoundTrippers leave these nil
		resp, err := foreign(req)
		if resp != nil && resp.Body == nil {
			resp.Body = http.NoBody
		}
		if resp != nil && resp.Request == nil {
			resp.Request = req
		}
		return resp, err
	}
	if s.part.resumable() {
		at := s.part.Have
		if at == s.part.Total { // nothing is missing: is the last byte still the same?
			at--
		}
		rest := req.Clone(req.Context())
		rest.Header.Set("Range", "bytes="+strconv.FormatInt(at, 10)+"-")
		rest.Header.Set("If-Range", s.part.ETag)
		resp, err := send(rest)
		switch {
		case err != nil || resp == nil:
			return resp, err
		case resp.StatusCode != http.StatusPartialContent &&
			resp.StatusCode != http.StatusRequestedRangeNotSatisfiable:
			s.meet(resp)
			return resp, nil
		case resp.StatusCode == http.StatusPartialContent && s.continues(resp, at):
			return resp, nil
		}
		_ = resp.Body.Close()
	}
	resp, err := send(req)
	if err == nil && resp != nil {
		s.meet(resp)
	}
	return resp, err
}

// meet prepares for a response that is not the part that was asked for: the whole, or an error.
func (s *saving) meet(resp *http.Response) {
	s.whole, s.end = true, -1
	s.next = note{Total: -1}
	if resp.StatusCode != http.StatusOK {
		return
	}
	encoding := packing(resp.Header, s.decoders)
	if resp.Uncompressed || encoding != "" && !isArchive(encoding, resp, s.part.target) {
		return
	}
	if encoding != "" {
		s.next.Code = encoding
		resp.Header.Del("Content-Encoding") // so that nothing unpacks it
	}
	s.next.Total, s.end = resp.ContentLength, resp.ContentLength
	if tag := resp.Header.Get("ETag"); strongETag(tag) && len(tag) <= maxETag &&
		len(encoding) <= maxETag &&
		!strings.EqualFold(resp.Header.Get("Accept-Ranges"), "none") {
		s.next.ETag, s.next.From = tag, addressOf(resp)
	}
}

// maxETag bounds, in bytes, each text of the server that goes into a note.
const maxETag = 256

// continues tells whether a 206 is the missing part of the body; if so it notes its place. The 206
// must tell the total length, because it may hold less than was asked for. The answer to an
// If-Range may omit the encoding, but not the ETag (RFC 9110, section 15.3.7).
func (s *saving) continues(resp *http.Response, at int64) bool {
	p := s.part
	span, ok := field.ParseContentRange(resp.Header.Get("Content-Range"))
	encoding := packing(resp.Header, s.decoders)
	if !ok || span.First != at || span.Size < 0 || p.Total >= 0 && span.Size != p.Total ||
		len(resp.Header.Values("Content-Range")) != 1 ||
		resp.ContentLength >= 0 && resp.ContentLength != span.Last-span.First+1 ||
		resp.Header.Get("ETag") != p.ETag || addressOf(resp) != p.From || resp.Uncompressed ||
		encoding != "" && encoding != p.Code {
		return false
	}
	resp.Header.Del("Content-Encoding")
	resp.Status, resp.StatusCode = "200 OK", http.StatusOK
	s.whole, s.at, s.end = false, at, span.Last+1
	p.Total = span.Size
	return true
}

// addressOf is a hash of the URL that a response came from. The query is left out, because a
// signature in it changes with each redirect.
func addressOf(resp *http.Response) string {
	if resp.Request == nil || resp.Request.URL == nil {
		return ""
	}
	u := resp.Request.URL
	sum := sha256.Sum256([]byte(u.Scheme + "://" + u.Host + u.EscapedPath()))
	return fmt.Sprintf("%x", sum[:16])
}

// packedNames are the file name endings of archives, by content coding.
var packedNames = map[string][]string{
	"gzip": {".gz", ".tgz", ".gzip", ".svgz"}, "x-gzip": {".gz", ".tgz", ".gzip", ".svgz"},
	"compress": {".z"}, "x-compress": {".z"}, "br": {".br"}, "zstd": {".zst", ".zstd", ".tzst"},
	"bzip2": {".bz2", ".tbz2", ".tbz"}, "x-bzip2": {".bz2", ".tbz2", ".tbz"},
	"xz": {".xz", ".txz"}, "x-xz": {".xz", ".txz"},
}

// isArchive tells whether the encoding belongs to the file itself: servers that derive type and
// encoding from a name like x.tar.gz declare it so.
func isArchive(encoding string, resp *http.Response, target string) bool {
	endings := packedNames[strings.ToLower(strings.TrimSpace(encoding))]
	names := []string{target}
	for r := resp; r != nil && r.Request != nil && r.Request.URL != nil; r = r.Request.Response {
		names = append(names, r.Request.URL.Path)
	}
	for _, name := range names {
		if slices.Contains(endings, strings.ToLower(path.Ext(name))) {
			return true
		}
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/gzip", "application/x-gzip", "application/x-gzip-compressed",
		"application/x-tgz":
		return len(endings) > 0 && endings[0] == ".gz"
	case "application/zstd":
		return len(endings) > 0 && endings[0] == ".zst"
	case "application/x-bzip2":
		return len(endings) > 0 && endings[0] == ".bz2"
	case "application/x-xz":
		return len(endings) > 0 && endings[0] == ".xz"
	}
	return false
}

var errOverlap = errors.New("the server's bytes do not fit the part that was saved before")

// store writes the response's body, inside the attempt.
func (s *saving) store(r *http.Response) error {
	p := s.part
	if s.whole {
		if r.StatusCode == http.StatusPartialContent {
			return answered(errors.New("206 Partial Content to a request for the whole"))
		}
		if s.maxBody > 0 && s.next.Total > s.maxBody {
			return &http.MaxBytesError{Limit: s.maxBody}
		}
		if err := p.begin(s.next); err != nil {
			return diskError(err)
		}
	} else if err := s.overlap(r.Body); err != nil {
		return err
	}
	err := s.copy(r.Body)
	if err == nil && (s.end >= 0 && p.Have < s.end || p.Total >= 0 && p.Have < p.Total) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		p.pause()
	}
	return err
}

// overlap compares the last byte, if it was asked for again, with the one that is there.
func (s *saving) overlap(body io.Reader) error {
	if s.at == s.part.Have {
		return nil
	}
	var sent, there [1]byte
	if _, err := io.ReadFull(body, sent[:]); err != nil {
		return fmt.Errorf("the last byte: %w", err)
	}
	if _, err := s.part.file.ReadAt(there[:], s.at); err != nil || sent != there {
		return s.startOver(errOverlap)
	}
	return nil
}

func (s *saving) copy(body io.Reader) error {
	for {
		n, err := body.Read(s.buf)
		have := s.part.Have + int64(n)
		switch {
		case s.end >= 0 && have > s.end:
			return s.startOver(errTooLong)
		case s.maxBody > 0 && have > s.maxBody:
			return &http.MaxBytesError{Limit: s.maxBody}
		}
		if n > 0 {
			if err := s.part.write(s.buf[:n]); err != nil {
				return diskError(err)
			}
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// startOver drops the body, because it cannot be trusted.
func (s *saving) startOver(why error) error {
	if err := s.part.begin(note{Total: -1}); err != nil {
		return diskError(err)
	}
	return why
}

func diskError(err error) error { return answered(fmt.Errorf("httpx.Save: %w", err)) }
