package pacing

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Explain says what the machine believes and why, for a person: facts joined by semicolons, the
// rate first.
func (m *Machine) Explain(now float64) string {
	facts := []string{m.believedRate()}
	add := func(is bool, format string, args ...any) {
		if is {
			facts = append(facts, fmt.Sprintf(format, args...))
		}
	}
	if t := m.first.at; t > 0 {
		add(m.window, "it counts in a window")
		add(!m.window && m.bucket >= 2, "a bucket of about %.0f", m.bucket)
	}
	gate := lasts(max(m.gate, m.named) - now)
	add(m.half && m.refused == 0, "refused, so one request goes alone in %s", gate)
	add(m.half && m.refused > 0, "the single request was refused %s, the next goes in %s",
		times(m.refused), gate)
	add(m.Held(now) > now, "it said to wait for %s", lasts(m.Held(now)-now))
	heard := 0
	for heard < len(m.refusals) && m.refusals[heard] > now-minute {
		heard++
	}
	more := ""
	if heard == len(m.refusals) {
		more = " or more"
	}
	add(true, "%d%s refusals in 60 s, %d in all", heard, more, m.spent)
	add(m.careful.on, "careful: %d more in this minute would stop everything", max(0, jail-heard))
	switch {
	case m.mode == Cruise && !m.half && !m.affords(now):
		add(true, "no probe before refusals for one are saved up")
	case m.mode == Cruise && !m.half:
		add(true, "next probe in %s", lasts(m.probeAt-now))
	}
	facts = append(facts, m.otherNews(now)...)
	return strings.Join(facts, "; ")
}

func (m *Machine) believedRate() string {
	if m.rate == inf {
		return "no limit met so far, as fast as the requests in flight allow"
	}
	doing := map[Mode]string{Climb: "searching upward", Cruise: "kept"}[m.mode]
	text := fmt.Sprintf("%.3g/s, %s", m.rate, doing)
	survived, refused := m.safe > 0 && m.safe < m.rate, m.ceiling < inf && m.ceiling > m.rate
	switch {
	case survived && refused:
		return fmt.Sprintf("%s between %.3g/s that was survived and %.3g/s that was refused",
			text, m.safe, m.ceiling)
	case refused:
		return fmt.Sprintf("%s below %.3g/s that was refused", text, m.ceiling)
	case survived:
		return fmt.Sprintf("%s, %.3g/s was survived", text, m.safe)
	}
	return text
}

// otherNews is what was learned beside the rate.
func (m *Machine) otherNews(now float64) (facts []string) {
	add := func(is bool, format string, args ...any) {
		if is {
			facts = append(facts, fmt.Sprintf(format, args...))
		}
	}
	add(m.Crowded(), "at most %d at once", m.flight.limit)
	d := &m.doubt
	add(d.definite, "it refuses explicitly (429, Retry-After, a captcha)")
	add(!d.definite && d.convicted, "its 503s, resets and silences are refusals")
	add(!d.definite && d.noise, "its 503s, resets and silences are noise")
	add(d.asking, "one at a time, to find out whether a doubtful answer was a refusal")
	own := 0
	for _, n := range m.pages.seen {
		if n.own {
			own++
		}
	}
	add(own > 0, "pages refused for themselves: %d", own)
	add(m.untold.proved, "its 403s are refusals")
	g := &m.gauge
	add(!g.deaf(), "it says that %d remain", g.left)
	add(!g.deaf() && g.rate() > 0, "%.3g/s come in", g.rate())
	add(g.heard && g.deaf(), "what it says of its quota was wrong %s", times(g.wrong))
	return facts
}

func lasts(s float64) string {
	return time.Duration(math.Round(max(0, s)*10) * 1e8).String()
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
