package pacing

import (
	"strings"
	"testing"
)

func TestWhatIsExplained(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(m *Machine)
		says []string
		not  []string
	}{
		{"a cruise", func(m *Machine) { m.probeAt = 140 },
			[]string{"10/s, kept; 0 refusals in 60 s, 0 in all; next probe in 40s"},
			[]string{"bucket", "window", "survived", "careful", "at once", "own", "403", "remain",
				"quota", "noise", "plain", "alone", "one at a time", "or more", "wait"}},
		{"one that was raised since", func(m *Machine) { m.safe = 10 }, nil, []string{"survived"}},
		{"a climb between two rates", func(m *Machine) {
			m.mode, m.safe, m.ceiling = Climb, 8, 14
		}, []string{
			"10/s, searching upward between 8/s that was survived and 14/s that was refused"},
			[]string{"next probe"}},
		{"a climb", func(m *Machine) { m.mode, m.safe = Climb, 8 },
			[]string{"searching upward, 8/s was survived"}, []string{"refused"}},
		{"below a bound", func(m *Machine) { m.ceiling = 14 },
			[]string{"kept below 14/s that was refused"}, []string{"survived"}},
		{"a bound that is none", func(m *Machine) { m.ceiling = 9 }, []string{"10/s, kept;"}, nil},
		{"a bucket", func(m *Machine) { m.first.at, m.bucket = 3, 31 },
			[]string{"a bucket of about 31"}, []string{"window"}},
		{"a bucket of one", func(m *Machine) { m.first.at, m.bucket = 3, 1 }, nil,
			[]string{"bucket"}},
		{"a window", func(m *Machine) { m.first.at, m.bucket, m.window = 3, 31, true },
			[]string{"it counts in a window"}, []string{"bucket"}},
		{"refused", func(m *Machine) {
			m.half, m.gate, m.refusals[0], m.spent = true, 100.5, 100, 7
		}, []string{"refused, so one request goes alone in 500ms", "1 refusals in 60 s, 7 in all"},
			[]string{"the single", "next probe", "no probe"}},
		{"refused, and told to wait", func(m *Machine) {
			m.half, m.gate, m.named = true, 100.5, 130
		}, []string{"alone in 30s", "it said to wait for 30s"}, nil},
		{"refused again", func(m *Machine) {
			m.half, m.gate, m.refused = true, 104, 1
		}, []string{"the single request was refused once, the next goes in 4s"}, []string{"alone"}},
		{"refused again and told to wait", func(m *Machine) {
			m.half, m.gate, m.named, m.refused = true, 104, 107, 3
		}, []string{"was refused 3 times, the next goes in 7s"}, nil},
		{"refused again, and about to go", func(m *Machine) {
			m.half, m.gate, m.refused = true, 99, 1
		}, []string{"the next goes in 0s"}, nil},
		{"careful", func(m *Machine) { m.careful.on, m.refusals[0] = true, 90 },
			[]string{"careful: 3 more in this minute would stop everything"}, nil},
		{"careful, with all used up", func(m *Machine) {
			m.careful.on, m.refusals = true, [hasty]float64{90, 90, 90, 90, 90}
		}, []string{"5 or more refusals in 60 s", "careful: 0 more in this minute"}, nil},
		{"refusals to save up", func(m *Machine) { m.probes, m.spent = 3, 50 },
			[]string{"no probe before refusals for one are saved up"}, []string{"next probe"}},
		{"a search does not probe",
			func(m *Machine) { m.mode, m.probes, m.spent = Climb, 3, 50 }, nil, []string{"probe"}},
		{"a crowd", func(m *Machine) { m.flight.dear = 4 }, []string{"at most 8 at once"}, nil},
		{"plain words", func(m *Machine) { m.doubt.definite, m.doubt.convicted = true, true },
			[]string{"it refuses explicitly (429, Retry-After, a captcha)"}, []string{"silences"}},
		{"convicted", func(m *Machine) { m.doubt.convicted = true },
			[]string{"its 503s, resets and silences are refusals"}, []string{"noise"}},
		{"noise", func(m *Machine) { m.doubt.noise = true },
			[]string{"its 503s, resets and silences are noise"}, []string{"are refusals"}},
		{"a question", func(m *Machine) { m.doubt.asking = true },
			[]string{"one at a time, to find out whether a doubtful answer was a refusal"}, nil},
		{"pages", func(m *Machine) { m.pages.seen = []pageNote{{page: 1, own: true}, {page: 2}} },
			[]string{"pages refused for themselves: 1"}, nil},
		{"403", func(m *Machine) { m.untold.proved = true },
			[]string{"its 403s are refusals"}, nil},
		{"a quota", func(m *Machine) {
			m.gauge.tell(told{at: 99, seq: 1, remain: 7, reset: 60, limit: 100})
		}, []string{"it says that 7 remain"}, []string{"come in", "wrong"}},
		{"a quota that flows", func(m *Machine) {
			m.gauge.tell(told{at: 99, seq: 1, remain: 7, reset: 60, limit: 100})
			m.gauge.flows, m.gauge.inflow, m.gauge.over = true, 11, 5
		}, []string{"it says that 7 remain", "2/s come in"}, nil},
		{"a quota that was wrong", func(m *Machine) { m.gauge.heard, m.gauge.wrong = true, thrice },
			[]string{"what it says of its quota was wrong 3 times"}, []string{"remain"}},
	} {
		m := cruising()
		c.with(m)
		text := m.Explain(100)
		for _, s := range c.says {
			if !strings.Contains(text, s) {
				t.Errorf("%s: %q does not say %q", c.name, text, s)
			}
		}
		for _, s := range c.not {
			if strings.Contains(text, s) {
				t.Errorf("%s: %q says %q", c.name, text, s)
			}
		}
	}
}
