package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
)

// screen shows the members while they run: on a terminal a table that is redrawn in place,
// elsewhere a line every two seconds.
type screen struct {
	out      io.Writer
	terminal bool
	lines    int // of the last table
	told     time.Time
	before   []int // requests by member, at the last drawing
	at       time.Time
}

func newScreen(out io.Writer) *screen {
	f, ok := out.(*os.File)
	now := time.Now()
	return &screen{out: out, terminal: ok && isatty.IsTerminal(f.Fd()), told: now, at: now}
}

func (s *screen) draw(c *crew) {
	every := 2 * time.Second
	if s.terminal {
		every = 0
	}
	if time.Since(s.told) < every {
		return
	}
	s.told = time.Now()
	requests := c.site.requests(c.members)
	if s.before == nil {
		s.before = make([]int, c.members)
	}
	span := time.Since(s.at).Seconds()
	s.at = time.Now()
	all := 0.0
	rates := make([]float64, c.members)
	for i := range rates {
		rates[i] = float64(requests[i]-s.before[i]) / span
		all += rates[i]
	}
	s.before = requests
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.terminal {
		fmt.Fprintf(s.out, "%4.1fs  %5.1f requests a second, breakers %s\n",
			time.Since(c.began).Seconds(), all, c.breakers())
		return
	}
	var b strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.lines)
	}
	fmt.Fprintf(&b, "\x1b[Kmember      rate  share  waiting  state\n")
	for i, w := range c.workers {
		what := w.told.Breaker
		if w.told.Away {
			what += ", store away"
		}
		fmt.Fprintf(&b, "\x1b[K%6d  %6.1f/s  %4.0f %%  %7d  %s\n", i+1, rates[i],
			100*rates[i]/max(all, 1e-9), w.told.Waiting, what)
	}
	fmt.Fprintf(&b, "\x1b[K   all  %6.1f/s of %v\n", all, c.limit)
	s.lines = c.members + 2
	_, _ = io.WriteString(s.out, b.String())
}

// breakers returns the states of the breakers. It requires that c.mu is held.
func (c *crew) breakers() string {
	var states []string
	for _, w := range c.workers {
		if !slices.Contains(states, w.told.Breaker) && w.told.Breaker != "" {
			states = append(states, w.told.Breaker)
		}
	}
	slices.Sort(states)
	return strings.Join(states, " and ")
}

// requests is how many requests the site got, by member.
func (s *site) requests(members int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := make([]int, members)
	for i := range n {
		n[i] = s.by[strconv.Itoa(i+1)]
	}
	return n
}

// report prints the final table.
func (c *crew) report(out io.Writer) int {
	requests := c.site.requests(c.members)
	s := c.site
	busiest := s.busiest()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	trips, total := c.trips, len(s.times)
	for _, w := range c.workers {
		trips += w.told.Trips
	}
	lease := min(max(20/c.limit, 0.1), 1)
	// The site works for four fifths of the time, and a new limit has no tokens for two leases.
	could := c.limit * (c.took.Seconds()*0.8 - 2*lease)
	bound := float64(c.burst) + c.limit*(1+lease)
	verdict, code := "", exitOK
	if float64(busiest) > bound {
		verdict, code = "  ABOVE THE BOUND", exitFailed
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "  %-28s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(out)
	line("requests", "%d, %d of them refused with 429", total, s.refused)
	line("use of the limit", "%.0f %% while the site worked",
		100*float64(total-s.failed)/could)
	line("most in any second", "%d, the bound is %.0f%s", busiest, bound, verdict)
	line("questions per request", "%.3f", float64(trips)/float64(max(1, total))) // to the store
	line("requests by member", "%s", strings.Trim(fmt.Sprint(requests), "[]"))
	line("while the site was broken", "%d requests, %d of them after all knew", s.failed, s.probes)
	if c.config.kill {
		line("workers killed", "%d", c.killed)
	}
	return code
}
