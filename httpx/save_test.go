package httpx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// quick tries three times without waiting.
func quick() *Client { return New(WithPolicy(policies.Constant(0))) }

// parts are the temporary files in dir.
func parts(t *testing.T, dir string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".part") {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found
}

// A script is how the server of a test answers: cutter's ways, one call of Save after the other.
func TestSave_in_one_call(t *testing.T) {
	whole := data(3000)
	type twist = func(int, http.ResponseWriter, *http.Request) bool
	twistOnce := func(f func(w http.ResponseWriter)) twist {
		return func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n != 2 {
				return false
			}
			f(w)
			return true
		}
	}
	partial := func(w http.ResponseWriter, contentRange, etag string, body []byte) {
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Range", contentRange)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body)
	}
	for _, c := range []struct {
		name   string
		etag   string
		cut    int
		twist  twist
		ranges string // of the requests
		fails  bool
	}{
		{name: "whole_at_once", etag: `"a"`, ranges: "whole"},
		{name: "cut_twice_goes_on", etag: `"a"`, cut: 1000,
			ranges: "whole bytes=1000- bytes=2000-"},
		{name: "a_weak_ETag_begins_anew", etag: `W/"a"`, cut: 1500,
			ranges: "whole whole whole", fails: true},
		{name: "no_ETag_begins_anew", cut: 1500, ranges: "whole whole whole", fails: true},
		{name: "an_error_between_keeps_the_part", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusServiceUnavailable)
			})},
		{name: "Range_is_ignored", etag: `"a"`, cut: 1500, ranges: "whole bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				w.Header().Set("ETag", `"a"`)
				_, _ = w.Write(whole)
			})},
		{name: "a_part_at_another_offset_is_not_used", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- whole bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				partial(w, "bytes 1400-2999/3000", `"a"`, whole[1400:])
			})},
		{name: "a_part_of_another_length_is_not_used", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- whole bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				partial(w, "bytes 1500-2999/4000", `"a"`, whole[1500:])
			})},
		{name: "a_part_of_unknown_length_is_not_used", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- whole bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				partial(w, "bytes 1500-2999/*", `"a"`, whole[1500:])
			})},
		{name: "a_part_with_another_ETag_is_not_used", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- whole bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				partial(w, "bytes 1500-2999/3000", `"b"`, whole[1500:])
			})},
		{name: "a_part_that_says_two_offsets_is_not_used", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- whole bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				w.Header()["Content-Range"] = []string{"bytes 1500-2999/3000", "bytes 0-1499/3000"}
				w.Header().Set("ETag", `"a"`)
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(whole[:1500])
			})},
		{name: "more_than_the_part_announced_begins_anew", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- whole",
			twist: func(n int, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("ETag", `"a"`)
				switch n {
				case 2:
					w.Header().Set("Content-Range", "bytes 1500-1999/3000")
					w.WriteHeader(http.StatusPartialContent)
					_ = http.NewResponseController(w).Flush() // chunked: HTTP itself sets no bound
					_, _ = w.Write(append(slices.Clone(whole[1500:2000]), "surplus"...))
				case 3:
					_, _ = w.Write(whole)
				}
				return n > 1
			}},
		{name: "Accept-Ranges_none_begins_anew", etag: `"a"`, cut: 1500,
			ranges: "whole whole whole", fails: true,
			twist: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Accept-Ranges", "none")
				return false
			}},
		{name: "several_ranges_are_not_used", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- whole bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
				w.Header().Set("ETag", `"a"`)
				w.WriteHeader(http.StatusPartialContent)
			})},
		{name: "416_begins_anew", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- whole bytes=1500-",
			twist: twistOnce(func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			})},
		{name: "less_than_was_asked_for_goes_on", etag: `"a"`, cut: 1500,
			ranges: "whole bytes=1500- bytes=2000-",
			twist: twistOnce(func(w http.ResponseWriter) {
				partial(w, "bytes 1500-1999/3000", `"a"`, whole[1500:2000])
			})},
		{name: "a_part_nobody_asked_for", etag: `"a"`, ranges: "whole", fails: true,
			twist: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
				partial(w, "bytes 0-9/3000", `"a"`, whole[:10])
				return true
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "file")
			_ = os.WriteFile(file, []byte("old"), 0o644)
			s := &cutter{data: whole, etag: c.etag, cut: c.cut, twist: c.twist}
			server := httptest.NewServer(s)
			defer server.Close()
			n, err := Save(t.Context(), quick(), server.URL, file)
			if got := asked(s.ranges); got != c.ranges {
				t.Errorf("asked for %s, want %s", got, c.ranges)
			}
			got, _ := os.ReadFile(file)
			switch {
			case c.fails && (err == nil || string(got) != "old"):
				t.Errorf("%v, and the old file has %d bytes", err, len(got))
			case !c.fails && (err != nil || n != 3000 || !bytes.Equal(got, whole)):
				t.Errorf("%d, %v, and the file has %d bytes", n, err, len(got))
			case !c.fails && mode(t, file) != 0o644:
				t.Errorf("mode %v", mode(t, file))
			}
			if left := parts(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// asked is what was asked for, request by request.
func asked(ranges []string) string {
	ranges = slices.Clone(ranges)
	for i, r := range ranges {
		if r == "" {
			ranges[i] = "whole"
		}
	}
	return strings.Join(ranges, " ")
}

func mode(t *testing.T, file string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// Between two calls anything may happen to the part.
func TestSave_in_the_next_call(t *testing.T) {
	whole := data(3000)
	for _, c := range []struct {
		name   string
		etag   string                          // in the second call
		opts   []Option                        // of the second call
		spoil  func(t *testing.T, part string) // between them
		query  string                          // of the second URL
		grow   int                             // bytes that the representation has gained
		ranges string                          // of the second call
	}{
		{name: "goes_on", etag: `"a"`, ranges: "bytes=1000-"},
		{name: "a_new_version", etag: `"b"`, ranges: "bytes=1000-", grow: 10},
		{name: "another_identity", etag: `"a"`,
			opts: []Option{Header("Authorization", "Bearer geheim")}, ranges: ""},
		{name: "another_URL", etag: `"a"`, query: "?token=geheim", ranges: ""},
		{name: "another_User-Agent", etag: `"a"`,
			opts: []Option{Header("User-Agent", "next/2")}, ranges: "bytes=1000-"},
		{name: "cut_short", etag: `"a"`, ranges: "", spoil: func(t *testing.T, part string) {
			must(t, os.Truncate(part, 500))
		}},
		{name: "empty", etag: `"a"`, ranges: "", spoil: func(t *testing.T, part string) {
			must(t, os.Truncate(part, 0))
		}},
		{name: "a_byte_of_the_body_changed", etag: `"a"`, ranges: "", spoil: change(100)},
		{name: "a_byte_of_the_note_changed", etag: `"a"`, ranges: "", spoil: change(1030)},
		{name: "longer_than_it_was", etag: `"a"`, ranges: "",
			spoil: func(t *testing.T, part string) { must(t, os.Truncate(part, 9000)) }},
		{name: "garbage", etag: `"a"`, ranges: "", spoil: func(t *testing.T, part string) {
			must(t, os.WriteFile(part, data(5000), 0o600))
		}},
		{name: "others_may_have_written_it", etag: `"a"`, ranges: "",
			spoil: func(t *testing.T, part string) { must(t, os.Chmod(part, 0o666)) }},
		{name: "a_hard_link", etag: `"a"`, ranges: "", spoil: func(t *testing.T, part string) {
			must(t, os.Link(part, part+".link"))
		}},
		{name: "gone", etag: `"a"`, ranges: "", spoil: func(t *testing.T, part string) {
			must(t, os.Remove(part))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "file")
			s := &cutter{data: whole, etag: `"a"`, cut: 1000}
			server := httptest.NewServer(s)
			defer server.Close()
			n, err := Save(t.Context(), once(), server.URL+"/f", file)
			left := parts(t, dir)
			if err == nil || n != 1000 || len(left) != 1 || mode(t, left[0]) != 0o600 {
				t.Fatalf("first call: %d, %v, %v", n, err, left)
			}
			if !strings.Contains(err.Error(), "1000 of 3000 bytes kept") ||
				!errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("first call: %v", err)
			}
			if c.spoil != nil {
				c.spoil(t, left[0])
			}
			s.cut, s.etag, s.ranges, s.data = 0, c.etag, nil,
				append(slices.Clip(whole), data(c.grow)...)
			n, err = Save(t.Context(), once(), server.URL+"/f"+c.query, file, c.opts...)
			got, _ := os.ReadFile(file)
			if err != nil || n != int64(len(s.data)) || !bytes.Equal(got, s.data) {
				t.Errorf("second call: %d, %v, and the file has %d bytes", n, err, len(got))
			}
			if strings.Join(s.ranges, " ") != c.ranges {
				t.Errorf("second call asked for %q, want %q", s.ranges, c.ranges)
			}
			for _, p := range parts(t, dir) {
				if strings.Contains(p, "geheim") {
					t.Errorf("%s shows a secret", p)
				}
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func change(at int64) func(*testing.T, string) {
	return func(t *testing.T, part string) {
		f, err := os.OpenFile(part, os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		var b [1]byte
		_, err = f.ReadAt(b[:], at)
		must(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b[:], at)
		must(t, err)
	}
}

// A process that was killed after the last byte and before the renaming.
func TestSave_a_part_that_was_whole_is_asked_for_its_last_byte(t *testing.T) {
	for _, c := range []struct {
		name, etag, ranges string
		last               byte // of the file, now
	}{
		{"the_same", `"a"`, "bytes=2999-", data(3000)[2999]},
		{"a_new_version", `"b"`, "bytes=2999-", data(3000)[2999]},
		{"another_byte_under_the_same_ETag", `"a"`, "bytes=2999- whole", '!'},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "file")
			s := &cutter{data: data(3000), etag: `"a"`}
			server := httptest.NewServer(s)
			defer server.Close()
			req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
			p, err := openPart(file, identity(req))
			must(t, err)
			must(t, p.begin(note{Total: 3000, ETag: `"a"`,
				From: addressOf(&http.Response{Request: req})}))
			must(t, p.write(s.data))
			p.close()
			s.etag, s.data[2999] = c.etag, c.last
			n, err := Save(t.Context(), quick(), server.URL, file)
			if got, _ := os.ReadFile(file); err != nil || n != 3000 || !bytes.Equal(got, s.data) ||
				asked(s.ranges) != c.ranges {
				t.Errorf("%d, %v, asked for %v", n, err, s.ranges)
			}
		})
	}
}

func TestSave_does_not_follow_links(t *testing.T) {
	dir := t.TempDir()
	file, victim := filepath.Join(dir, "file"), filepath.Join(dir, "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o600))
	server := httptest.NewServer(&cutter{data: data(100), etag: `"a"`})
	defer server.Close()
	req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
	p, err := openPart(file, identity(req))
	must(t, err)
	path := p.path
	p.close()
	must(t, os.Symlink(victim, path))
	must(t, os.Symlink(victim, file))
	n, err := Save(t.Context(), once(), server.URL, file)
	if got, _ := os.ReadFile(victim); err != nil || n != 100 || string(got) != "precious" {
		t.Errorf("%d, %v, and the victim has %d bytes", n, err, len(got))
	}
	if !mode(t, file).IsRegular() {
		t.Error("the file is still a link")
	}
}

func TestSave_a_second_one_of_the_same_file_is_refused(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-release
	}))
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	over := make(chan error)
	go func() {
		_, err := Save(context.Background(), once(), server.URL, file)
		over <- err
	}()
	<-begun
	must(t, os.Symlink(dir, filepath.Join(dir, "link")))
	for _, c := range []struct{ url, file string }{
		{server.URL, file}, {server.URL + "/other", file},
		{server.URL, filepath.Join(dir, ".", "x", "..", "file")},
		{server.URL, filepath.Join(dir, "link", "file")},
	} {
		if _, err := Save(t.Context(), once(), c.url, c.file); !errors.Is(err, ErrBusy) ||
			!errors.Is(err, retry.ErrRejected) {
			t.Errorf("%s to %s: %v", c.url, c.file, err)
		}
	}
	close(release)
	if err := <-over; err != nil {
		t.Error(err)
	}
	if left := parts(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The helper is another process: it saves, and is killed.
func TestSave_a_killed_process_leaves_its_part_and_no_lock(t *testing.T) {
	if url := os.Getenv("HTTPX_TEST_SAVE"); url != "" {
		_, _ = Save(context.Background(), once(), url, os.Getenv("HTTPX_TEST_FILE"))
		return
	}
	whole := bytes.Repeat(data(1<<20), 24)
	flood := make(chan struct{})
	var ranges atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		if r.Header.Get("Range") != "" {
			ranges.Store(r.Header.Get("Range"))
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(whole))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		_, _ = w.Write(whole[:20<<20])
		_ = http.NewResponseController(w).Flush()
		close(flood)
		<-r.Context().Done()
	}))
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	helper := exec.Command(os.Args[0],
		"-test.run=^TestSave_a_killed_process_leaves_its_part_and_no_lock$")
	helper.Env = append(os.Environ(), "HTTPX_TEST_SAVE="+server.URL, "HTTPX_TEST_FILE="+file)
	must(t, helper.Start())
	<-flood
	// until it has read some of it
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if left := parts(t, dir); len(left) == 1 {
			if info, err := os.Stat(left[0]); err == nil && info.Size() > 16<<20 {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatal("the helper does not save")
		}
	}
	if runtime.GOOS != "plan9" {
		if _, err := Save(t.Context(), once(), server.URL, file); !errors.Is(err, ErrBusy) {
			t.Errorf("beside the helper: %v", err)
		}
	}
	must(t, helper.Process.Kill())
	_ = helper.Wait()
	n, err := Save(t.Context(), once(), server.URL, file)
	if got, _ := os.ReadFile(file); err != nil || n != int64(len(whole)) ||
		!bytes.Equal(got, whole) {
		t.Errorf("%d, %v", n, err)
	}
	if r, _ := ranges.Load().(string); r == "" {
		t.Error("began anew")
	}
}

func TestSave_what_a_redirect_leads_to(t *testing.T) {
	for _, c := range []struct{ name, first, second, ranges string }{
		{"to_a_new_signature", "/data?sig=1", "/data?sig=2", "bytes=1000-"},
		// The ETag says nothing about another resource.
		{"to_another_address", "/data", "/mirror", "bytes=1000- whole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &cutter{data: data(3000), etag: `"a"`, cut: 1000}
			to := c.first
			server := httptest.NewServer(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/" {
						http.Redirect(w, r, to, http.StatusFound)
						return
					}
					s.ServeHTTP(w, r)
				}))
			defer server.Close()
			file := filepath.Join(t.TempDir(), "file")
			if _, err := Save(t.Context(), once(), server.URL, file); err == nil {
				t.Fatal("was not cut")
			}
			to, s.cut, s.ranges = c.second, 0, nil
			_, err := Save(t.Context(), once(), server.URL, file)
			got, _ := os.ReadFile(file)
			if err != nil || !bytes.Equal(got, s.data) || asked(s.ranges) != c.ranges {
				t.Errorf("%v, asked for %q", err, s.ranges)
			}
		})
	}
}

func TestSave_encodings(t *testing.T) {
	text := data(3000)
	packed := gzipped(t, text)
	for _, c := range []struct {
		name, path, file, encoding, kind string
		body, want                       []byte
		fails                            bool
	}{
		{name: "identity_was_asked_for", path: "/x", file: "x", body: text, want: text},
		{name: "packed_nevertheless", path: "/x", file: "x", encoding: "gzip",
			body: packed, want: text},
		{name: "an_archive_by_its_name", path: "/x.tar.gz", file: "x", encoding: "x-gzip",
			body: packed, want: packed},
		{name: "an_archive_by_the_file's_name", path: "/download", file: "x.TGZ", encoding: "gzip",
			body: packed, want: packed},
		{name: "an_archive_by_its_type", path: "/x", file: "x", encoding: "gzip",
			kind: "application/x-gzip", body: packed, want: packed},
		{name: "another_coding_than_its_name_says", path: "/x.zst", file: "x.zst", encoding: "gzip",
			body: packed, want: text},
		{name: "a_coding_nobody_reads", path: "/x", file: "x",
			encoding: "br", body: text, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			accept := ""
			server := httptest.NewServer(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					accept = r.Header.Get("Accept-Encoding")
					if c.encoding != "" {
						w.Header().Set("Content-Encoding", c.encoding)
					}
					w.Header().Set("Content-Type", c.kind)
					w.Header().Set("ETag", `"a"`)
					_, _ = w.Write(c.body)
				}))
			defer server.Close()
			file := filepath.Join(t.TempDir(), c.file)
			n, err := Save(t.Context(), once(), server.URL+c.path, file)
			if got, _ := os.ReadFile(file); (err != nil) != c.fails ||
				!c.fails && (n != int64(len(c.want)) || !bytes.Equal(got, c.want)) {
				t.Errorf("%d, %v", n, err)
			}
			if accept != "identity" {
				t.Errorf("Accept-Encoding: %q", accept)
			}
		})
	}
}

func TestSave_an_archive_goes_on_too(t *testing.T) {
	s := &cutter{data: data(3000), etag: `"a"`, cut: 2000}
	s.twist = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Encoding", "gzip")
		return false
	}
	server := httptest.NewServer(s)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "x.gz")
	n, err := Save(t.Context(), quick(), server.URL, file)
	if got, _ := os.ReadFile(file); err != nil || n != 3000 || !bytes.Equal(got, s.data) ||
		len(s.ranges) != 2 {
		t.Errorf("%d, %v, asked for %q", n, err, s.ranges)
	}
}

func TestSave_a_Content_Encoding_that_packs_nothing_goes_on(t *testing.T) {
	for _, encoding := range []string{"utf-8", "none", "binary", "identity", "UTF-8, identity"} {
		s := &cutter{data: data(3000), etag: `"a"`, cut: 2000}
		s.twist = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", encoding)
			return false
		}
		server := httptest.NewServer(s)
		file := filepath.Join(t.TempDir(), "x")
		n, err := Save(t.Context(), quick(), server.URL, file)
		if got, _ := os.ReadFile(file); err != nil || n != 3000 || !bytes.Equal(got, s.data) ||
			asked(s.ranges) != "whole bytes=2000-" {
			t.Errorf("%s: %d, %v, asked for %q", encoding, n, err, s.ranges)
		}
		server.Close()
	}
}

func TestSave_errors(t *testing.T) {
	server := httptest.NewServer(&cutter{data: data(3000), etag: `"a"`})
	defer server.Close()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	for _, c := range []struct {
		name, file string
		opts       []Option
		is         error
	}{
		{name: "no_name", file: "", is: retry.ErrConfig},
		{name: "a_directory's_name", file: dir + "/", is: retry.ErrConfig},
		{name: "a_directory", file: filepath.Join(dir, "sub")},
		{name: "no_such_directory", file: filepath.Join(dir, "none", "x"), is: fs.ErrNotExist},
		{name: "Range_set", file: filepath.Join(dir, "x"),
			opts: []Option{Header("Range", "bytes=1-")}, is: retry.ErrConfig},
		{name: "MaxBody", file: filepath.Join(dir, "x"), opts: []Option{MaxBody(2999)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Save(t.Context(), quick(), server.URL, c.file, c.opts...)
			if err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v", err)
			}
			if tooLong := new(http.MaxBytesError); c.name == "MaxBody" &&
				!errors.As(err, &tooLong) {
				t.Errorf("got %v", err)
			}
		})
	}
	if left := parts(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	long := filepath.Join(dir, strings.Repeat("é", 125))
	if n, err := Save(t.Context(), quick(), server.URL, long); n != 3000 || err != nil {
		t.Errorf("a long name: %d, %v", n, err)
	}
}

// The bound is the file's: what an earlier call has left counts.
func TestSave_MaxBody_holds_for_what_is_continued(t *testing.T) {
	s := &cutter{data: data(3000), etag: `"a"`, cut: 1000}
	server := httptest.NewServer(s)
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if n, err := Save(t.Context(), once(), server.URL, file); n != 1000 || err == nil {
		t.Fatalf("first call: %d, %v", n, err)
	}
	s.cut, s.ranges = 0, nil
	n, err := Save(t.Context(), quick(), server.URL, file, MaxBody(2999))
	tooLong := new(http.MaxBytesError)
	if !errors.As(err, &tooLong) || tooLong.Limit != 2999 || n > 2999 ||
		asked(s.ranges) != "bytes=1000-" {
		t.Errorf("%d, %v, asked for %q", n, err, s.ranges)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
}

// A page that a predicate turns down is not the file, and costs nothing of what is there.
func TestSave_a_captcha_between_keeps_the_part(t *testing.T) {
	s := &cutter{data: data(3000), etag: `"a"`, cut: 1000}
	s.twist = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n == 2 {
			fmt.Fprint(w, "captcha")
		}
		return n == 2
	}
	server := httptest.NewServer(s)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "file")
	captcha := func(r *http.Response) bool {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 7))
		return string(b) == "captcha"
	}
	c := New(WithPolicy(policies.Constant(0, policies.Attempts(4))), RetryOn(captcha))
	n, err := Save(t.Context(), c, server.URL, file)
	if got, _ := os.ReadFile(file); err != nil || n != 3000 || !bytes.Equal(got, s.data) ||
		strings.Join(s.ranges, " ") != " bytes=1000- bytes=1000- bytes=2000-" {
		t.Errorf("%d, %v, asked for %q", n, err, s.ranges)
	}
}

func TestSave_an_error_of_the_disk_is_final_and_not_the_servers(t *testing.T) {
	s := &cutter{data: data(3000), etag: `"a"`}
	server := httptest.NewServer(s)
	defer server.Close()
	b := breaker.New("h", breaker.ConsecutiveFailures(1))
	c := New(WithPolicy(retry.Chain(policies.Constant(0), b)))
	req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
	p, err := openPart(filepath.Join(t.TempDir(), "file"), identity(req))
	must(t, err)
	defer p.close()
	must(t, p.file.Close()) // the disk is gone
	full := &saving{part: p, buf: make([]byte, 100)}
	k := &fetching{decode: full.store, resume: full}
	err = k.do(c, req.WithContext(t.Context()))
	if !errors.Is(err, fs.ErrClosed) || len(s.ranges) != 1 || b.State() != breaker.Closed {
		t.Errorf("%v after %d requests, breaker %v", err, len(s.ranges), b.State())
	}
}

// until is a body that calls then when n bytes of it were read and more are wanted.
type until struct {
	io.ReadCloser
	n    int
	then func()
}

func (u *until) Read(p []byte) (int, error) {
	if u.n == 0 {
		u.then()
		return u.ReadCloser.Read(p)
	}
	n, err := u.ReadCloser.Read(p[:min(len(p), u.n)])
	u.n -= n
	return n, err
}

func TestSave_a_cancelled_one_keeps_its_part(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	shutdown := errors.New("shutting down")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Content-Length", "3000")
		_, _ = w.Write(data(2000))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	dir := t.TempDir()
	interrupted := roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			resp.Body = &until{resp.Body, 2000, func() { cancel(shutdown) }}
		}
		return resp, err
	})
	c := New(WithPolicy(policies.Constant(0)), WithClient(&http.Client{Transport: interrupted}))
	n, err := Save(ctx, c, server.URL, filepath.Join(dir, "file"))
	if !errors.Is(err, shutdown) || !errors.Is(err, context.Canceled) || n != 2000 ||
		len(parts(t, dir)) != 1 {
		t.Errorf("%d, %v, %v", n, err, parts(t, dir))
	}
	n, err = Save(ctx, quick(), server.URL, filepath.Join(dir, "file"))
	if !errors.Is(err, shutdown) || n != 2000 || len(parts(t, dir)) != 1 {
		t.Errorf("with a context that has ended: %d, %v, %v", n, err, parts(t, dir))
	}
}

// endless is n bytes that cost nothing to make.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.n))
	e.n -= int64(n)
	return n, nil
}

func serveBytes(size int64) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyBuffer(struct{ io.Writer }{w}, &endless{size}, make([]byte, 256<<10))
	}))
}

// The figure that Save's comment promises: any size in constant memory.
func TestSave_a_GiB_takes_no_more_memory_than_a_MiB(t *testing.T) {
	if testing.Short() || RaceEnabled {
		t.Skip("writes 1 GiB, and looks at its memory")
	}
	file := filepath.Join(t.TempDir(), "file")
	small, big := serveBytes(1<<20), serveBytes(1<<30)
	defer small.Close()
	defer big.Close()
	c := New(WithPolicy(retry.Chain()))
	for range 3 {
		_, err := Save(t.Context(), c, small.URL, file)
		must(t, err)
	}
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	start, most := live(), int64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				most = max(most, live())
			}
		}
	}()
	n, err := Save(t.Context(), c, big.URL, file)
	close(stop)
	<-stopped
	t.Logf("%d KiB above the start", (most-start)>>10)
	if err != nil || n != 1<<30 || most-start > 1<<20 {
		t.Errorf("%d, %v, %d KiB above the start", n, err, (most-start)>>10)
	}
}

// Save against io.Copy of the same response to the same disk.
func BenchmarkSave(b *testing.B) {
	const size = 256 << 20
	server := serveBytes(size)
	defer server.Close()
	file := filepath.Join(b.TempDir(), "file")
	c := New(WithPolicy(retry.Chain()))
	b.Run("Save", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if _, err := Save(b.Context(), c, server.URL, file); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("io.Copy", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			resp, err := server.Client().Get(server.URL)
			if err != nil {
				b.Fatal(err)
			}
			f, err := os.Create(file + ".tmp")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(f, resp.Body); err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
			_ = f.Close()
			_ = os.Rename(file+".tmp", file)
		}
	})
}

// Whatever stands in a part, Save makes the right file.
func FuzzSaveOverAPart(f *testing.F) {
	whole := data(300)
	server := httptest.NewServer(&cutter{data: whole, etag: `"a"`})
	f.Cleanup(server.Close)
	dir := f.TempDir()
	file := filepath.Join(dir, "file")
	req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
	seed, err := openPart(file, identity(req))
	if err != nil {
		f.Fatal(err)
	}
	path := seed.path
	_ = seed.begin(note{Total: 300, ETag: `"a"`, From: addressOf(&http.Response{Request: req})})
	_ = seed.write(whole[:100])
	seed.close()
	valid, _ := os.ReadFile(path)
	f.Add(valid)
	f.Add(valid[:1000])
	f.Add([]byte(noteMagic))
	f.Fuzz(func(t *testing.T, part []byte) {
		check.Fast(t, len(part), time.Second, func() {
			must(t, os.WriteFile(path, part, 0o600))
			n, err := Save(t.Context(), once(), server.URL, file)
			if got, _ := os.ReadFile(file); err != nil || n != 300 || !bytes.Equal(got, whole) {
				t.Fatalf("%d, %v", n, err)
			}
		})
	})
}

func ExampleSave() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
	}))
	defer server.Close()
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)

	n, err := Save(context.Background(), New(), server.URL, filepath.Join(dir, "digits.txt"))
	fmt.Println(n, err)
	// Output: 10 <nil>
}
