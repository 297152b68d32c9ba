package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/reprise-go/reprise/httpx"
)

// store keeps pages in a directory: each in its own file, and a JSON line for each in pages.jsonl.
// The line is written when the page is whole in a file beside the final one, which is then renamed:
// a page that has its line is done, even if the program was killed before the renaming, and no page
// is there in half. A nil store keeps nothing.
type store struct {
	dir   string
	base  *url.URL
	lines *os.File

	mu   sync.Mutex        // pages are kept in one place, and asked for in many
	have map[string]string // path of a page -> its file
}

// line is one of pages.jsonl.
type line struct {
	URL   string `json:"url"`
	File  string `json:"file"`
	Bytes int    `json:"bytes"`
}

func openStore(c config, base string) (*store, error) {
	if c.out == "" {
		return nil, nil
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	s := &store{dir: c.out, base: u, have: map[string]string{}}
	if err := os.MkdirAll(filepath.Join(s.dir, "pages"), 0o755); err != nil {
		return nil, err
	}
	name := filepath.Join(s.dir, "pages.jsonl")
	if !c.resume {
		if old, err := os.Stat(name); err == nil && old.Size() > 0 {
			return nil, fmt.Errorf("-out %s: there are pages in it: -resume goes on with them",
				s.dir)
		}
	}
	if s.lines, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// read takes in the lines that are there, and cuts off one that was not written to its end.
func (s *store) read() error {
	whole := int64(0)
	r := bufio.NewReader(s.lines)
	for {
		text, err := r.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		var l line
		if err != nil || json.Unmarshal(text, &l) != nil {
			return fmt.Errorf("byte %d: not a line of this program", whole)
		}
		whole += int64(len(text))
		if s.finish(l) {
			s.have[s.key(l.URL)] = l.File
		}
	}
	if err := s.lines.Truncate(whole); err != nil {
		return err
	}
	_, err := s.lines.Seek(whole, io.SeekStart)
	return err
}

// finish renames the page of a line if that was not done any more. It says whether the page is
// there.
func (s *store) finish(l line) bool {
	name := filepath.Join(s.dir, l.File)
	if info, err := os.Stat(name + ".part"); err == nil && info.Size() == int64(l.Bytes) {
		return os.Rename(name+".part", name) == nil
	}
	_, err := os.Stat(name)
	return err == nil
}

func (s *store) close() {
	if s != nil {
		s.lines.Close()
	}
}

// key is a page's address without the site's own, whose port changes from run to run.
func (s *store) key(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return page
	}
	if u.Hostname() == s.base.Hostname() {
		return u.RequestURI()
	}
	return page
}

func (s *store) file(page string) string {
	sum := sha256.Sum256([]byte(s.key(page)))
	return filepath.Join("pages", hex.EncodeToString(sum[:12])+".html")
}

// put keeps a page.
func (s *store) put(page, text string) error {
	if s == nil {
		return nil
	}
	file := s.file(page)
	name := filepath.Join(s.dir, file)
	if err := os.WriteFile(name+".part", []byte(text), 0o644); err != nil {
		return err
	}
	l, err := json.Marshal(line{s.key(page), file, len(text)})
	if err != nil {
		return err
	}
	if _, err := s.lines.Write(append(l, '\n')); err != nil {
		return err
	}
	s.mu.Lock()
	s.have[s.key(page)] = file
	s.mu.Unlock()
	return os.Rename(name+".part", name)
}

// done is how many pages were there before.
func (s *store) done() int {
	if s == nil {
		return 0
	}
	return len(s.have)
}

// missing are the pages that are not there yet.
func (s *store) missing(pages []string) []string {
	if s == nil {
		return pages
	}
	var rest []string
	for _, p := range pages {
		if !s.has(p) {
			rest = append(rest, p)
		}
	}
	return rest
}

func (s *store) has(page string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.have[s.key(page)]
	return ok
}

// goOn are the seeds, and what the pages that are there lead to.
func (s *store) goOn(seeds []string, decode httpx.Decoder[document]) []string {
	if s == nil || len(s.have) == 0 {
		return seeds
	}
	seen := map[string]bool{}
	var all []string
	for _, p := range seeds {
		if !s.has(p) { // a sitemap is not a page: it is read again
			all, seen[p] = append(all, p), true
		}
	}
	for key, file := range s.have {
		for _, p := range s.missing(s.linksOf(key, file, decode)) {
			if !seen[p] {
				all, seen[p] = append(all, p), true
			}
		}
	}
	return all
}

// linksOf are the links of a page that is there.
func (s *store) linksOf(key, file string, decode httpx.Decoder[document]) []string {
	from, err := s.base.Parse(key)
	if err != nil {
		return nil
	}
	f, err := os.Open(filepath.Join(s.dir, file))
	if err != nil {
		return nil
	}
	defer f.Close()
	d, err := decode(&http.Response{
		Header:  http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		Body:    f,
		Request: &http.Request{URL: from},
	})
	if err != nil {
		return nil
	}
	return d.links
}
