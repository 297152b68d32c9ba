package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
)

// progress tells a person how far a scraper is: a bar on a terminal, a line every few seconds
// elsewhere.
type progress struct {
	out  io.Writer
	name string
	bar  *progressbar.ProgressBar // nil: not a terminal

	mu    sync.Mutex
	want  int // -1: not known
	pages int
	old   int // pages that an earlier run fetched, of pages
	start time.Time
	told  time.Time
	doing func() string // what the pacer does
	ended bool
}

const tellEvery = 5 * time.Second

// newProgress shows the progress of a scraper that fetches want pages; -1: not known.
func newProgress(out io.Writer, name string, want int) *progress {
	p := &progress{out: out, name: name, want: want, start: time.Now(), told: time.Now()}
	if f, ok := out.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		p.bar = progressbar.NewOptions(want,
			progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(name),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("pages"),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetWidth(24), progressbar.OptionSetPredictTime(true))
	}
	return p
}

// explain makes the progress show what the pacer does.
func (p *progress) explain(what func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = what
}

// had tells of n pages that an earlier run fetched.
func (p *progress) had(n int) {
	p.mu.Lock()
	p.old += n
	p.mu.Unlock()
	p.add(n)
}

// expect tells of n pages to come if it was not known how many there are.
func (p *progress) expect(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.want >= 0 {
		return
	}
	p.want = n
	if p.bar != nil {
		p.bar.ChangeMax(n)
	}
}

func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages += n
	if p.want >= 0 && p.pages > p.want { // a sitemap that does not list them all
		p.want = -1
	}
	if p.bar != nil {
		if p.want < 0 {
			p.bar.ChangeMax(-1)
		}
		p.bar.Describe(p.describe())
		_ = p.bar.Add(n) // a terminal that is gone is not a reason to stop
		return
	}
	if time.Since(p.told) >= tellEvery {
		p.told = time.Now()
		p.tell()
	}
}

func (p *progress) describe() string {
	if p.doing == nil {
		return fmt.Sprintf("%-8s", p.name)
	}
	return fmt.Sprintf("%-8s %.60s", p.name, p.doing())
}

// tell requires that p.mu is held.
func (p *progress) tell() {
	took := time.Since(p.start).Seconds()
	rate := float64(p.pages-p.old) / max(.001, took)
	text := fmt.Sprintf("%-8s %4d", p.name, p.pages)
	if p.want > 0 {
		text += fmt.Sprintf(" of %d", p.want)
	}
	text += fmt.Sprintf(" pages in %5.1f s, %.1f/s", took, rate)
	if left := float64(p.want - p.pages); left > 0 && rate > 0 && !p.ended {
		text += fmt.Sprintf(", %.0f s left", left/rate)
	}
	if p.doing != nil {
		text += "; " + p.doing()
	}
	fmt.Fprintln(p.out, text)
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(p.out)
		return
	}
	p.tell()
}
