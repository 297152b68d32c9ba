package retrydebug

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Page is what the handler shows, as JSON has it.
type Page struct {
	Time   time.Time `json:"time"`
	Guards []Guard   `json:"guards"`
	Events []Event   `json:"events"` // the newest first
}

// Guard is one watched policy.
type Guard struct {
	Name    string   `json:"name"`
	Chain   string   `json:"chain"`           // retry.Describe
	Error   string   `json:"error,omitempty"` // retry.Validate
	Calls   int      `json:"calls"`
	Failed  int      `json:"failed"`
	Members []Member `json:"members"`
	LeftOut int      `json:"left_out,omitempty"` // members that are not shown
	Slowest []Flight `json:"slowest"`
}

// Member is a policy inside a guard.
type Member struct {
	Path  string       `json:"path"`
	Text  string       `json:"text"` // its String
	Stats []retry.Stat `json:"stats,omitempty"`
}

// Flight is one call.
type Flight struct {
	Took   float64       `json:"took"` // s
	Ended  time.Time     `json:"ended"`
	Error  string        `json:"error,omitempty"`
	Record *retry.Record `json:"record"`
}

// Event is one thing that happened.
type Event struct {
	Time    time.Time `json:"time"`
	Guard   string    `json:"guard"`
	Kind    string    `json:"kind"`
	Policy  string    `json:"policy,omitempty"`
	Attempt int       `json:"attempt"`
	Wait    float64   `json:"wait,omitempty"` // s
	From    string    `json:"from,omitempty"`
	To      string    `json:"to,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// shownMembers bounds a page: a guard with a policy for each of a million hosts is not listed.
const shownMembers = 100

// Page returns what the handler would show now.
func (d *Debug) Page() Page {
	d.mu.Lock()
	guards := slices.Clone(d.guards)
	events := slices.Concat(d.events[d.oldest:], d.events[:d.oldest])
	d.mu.Unlock()
	p := Page{Time: time.Now(), Guards: []Guard{}, Events: []Event{}}
	for _, g := range guards {
		p.Guards = append(p.Guards, g.page())
	}
	for _, e := range slices.Backward(events) {
		p.Events = append(p.Events, Event{
			e.Time, e.guard, e.Kind.String(), e.Policy, e.Attempt, e.Wait.Seconds(), e.From, e.To,
			errText(e.Err),
		})
	}
	return p
}

func (g *guard) page() Guard {
	p := Guard{Name: g.name, Chain: retry.Describe(g.policy),
		Error: errText(retry.Validate(g.policy)), Slowest: []Flight{}}
	beyond := retry.Walk(g.policy, func(path string, member retry.Policy) bool {
		if len(p.Members) == shownMembers {
			p.LeftOut++
			return true
		}
		m := Member{Path: path, Text: retry.Describe(member)}
		if s, ok := member.(interface{ Stats() []retry.Stat }); ok {
			m.Stats = s.Stats()
		}
		p.Members = append(p.Members, m)
		return true
	})
	p.LeftOut += beyond
	g.mu.Lock()
	defer g.mu.Unlock()
	p.Calls, p.Failed = g.calls, g.failed
	for _, f := range g.flights {
		p.Slowest = append(p.Slowest, Flight{f.took.Seconds(), f.end, errText(f.err), f.record})
	}
	return p
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"seconds": func(s float64) string {
		d := time.Duration(s * float64(time.Second))
		unit := time.Microsecond
		for d/unit >= 10000 { // four digits are enough to read
			unit *= 10
		}
		return d.Round(unit).String()
	},
	"clock": func(t time.Time) string { return t.Format("15:04:05.000") },
	"figure": func(v float64, unit string) string {
		text := strconv.FormatFloat(v, 'g', 4, 64)
		if rate, ok := strings.CutPrefix(unit, "1/"); ok {
			return text + "/" + rate
		}
		return strings.TrimSpace(text + " " + unit)
	},
}).Parse(pageHTML))

const defaultRefresh = 2 // s

// ServeHTTP writes the page, or JSON if that is asked for. It answers GET and HEAD only.
func (d *Debug) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.FormValue("format") == "json" ||
		strings.HasPrefix(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(d.Page()) // the reader has gone away
		return
	}
	refresh, err := strconv.Atoi(r.FormValue("refresh"))
	if err != nil || refresh < 0 {
		refresh = defaultRefresh
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_ = page.Execute(w, struct {
		Page
		Refresh int
	}{d.Page(), refresh})
}
