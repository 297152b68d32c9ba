package limitertest

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// A Verdict is how a server answers a request.
type Verdict int

// The verdicts. A model refuses with one of them and bans with one of them.
const (
	OK          Verdict = iota // 200
	TooMany                    // 429
	Unavailable                // 503
	Forbidden                  // 403
	Captcha                    // 200 with a page that asks for a human
	Reset                      // the connection is reset, there is no response
	Cut                        // 200, and the connection is reset within the body
	Error                      // 500, 502 or 504: trouble that has nothing to do with the rate
	Silence                    // no answer: the connection stays open until the client gives up
)

var verdicts = [...]string{"ok", "429", "503", "403", "captcha", "reset", "cut", "error", "silence"}

func (v Verdict) String() string {
	if v < 0 || int(v) >= len(verdicts) {
		return "unknown"
	}
	return verdicts[v]
}

// Status is the HTTP status that goes with v; 0 for a reset.
func (v Verdict) Status() int {
	switch v {
	case TooMany:
		return 429
	case Unavailable:
		return 503
	case Forbidden:
		return 403
	case Error:
		return 500
	case Reset, Silence:
		return 0
	default:
		return 200
	}
}

// An Answer is what the server says to one request.
type Answer struct {
	Verdict    Verdict
	Status     int           // the HTTP status; 0 for a reset and for silence
	RetryAfter time.Duration // whole seconds, as the header has it; 0: not said
	Quota      Quota         // zero: not said
	Busy       time.Duration // from the request's arrival until the answer leaves
}

// A Ban is what repeated violations earn: for its time every request is
// answered by Answer, whatever its rate.
type Ban struct {
	// The ban begins after so many violations within Within. After 0 means that only Over begins
	// it.
	After  int
	Within time.Duration
	For    time.Duration
	Answer Verdict
	// Extend begins the ban anew with every request that comes during it.
	Extend bool
	// Growth multiplies For after every ban; 0 means 1.
	Growth float64
	// AtOnce answers the violation that earns the ban with the ban's own
	// answer and wait, and forgets what the rule has counted.
	AtOnce bool
	// Over, for a StickTable, begins the ban as soon as the rule sees more
	// than so many requests in its window; 0 means never.
	Over float64
}

// A Server is a model of a server that limits its clients: a rule, the way it
// refuses, what it tells, how it punishes, and the noise around all that.
// Only Rule is needed; the zero value of every other field leaves its feature
// out. The fields must not be changed after the first request.
//
// [Server.Serve] is the way in for a simulation in virtual time,
// [Server.Handler] and [Server.Transport] are the ways in for an HTTP client.
// The same Seed and the same arrivals give the same answers. A Server is safe
// for simultaneous use by multiple goroutines.
type Server struct {
	Rule Rule
	Seed uint64

	Refuse Verdict // answer to a violation; the zero value means TooMany
	// a refusal takes as long as a page: a burst is sent before its first refusal comes back
	Slow       bool
	RetryAfter bool // refusals say when to come back
	Headers    bool // answers tell the quota, if the rule is a Quoter
	Ban        *Ban

	InFlight int // at most so many requests at once; 0: any number

	Latency   time.Duration // median service time
	Spread    float64       // sigma of its log-normal distribution
	StallRate float64       // share of requests that take Stall longer
	Stall     time.Duration
	ErrorRate float64 // share of admitted requests that end in 500, 502, 503 or 504
	CutRate   float64 // share of admitted requests whose connection is reset
	Cuts      Verdict // how: Reset (the zero value means it) or Cut

	// Change, if its At is not zero, multiplies the rule's rate by Factor at
	// that time. The rule must be a Resizer.
	Change struct {
		At     time.Duration
		Factor float64
	}

	mu      sync.Mutex
	latest  time.Duration
	rng     *rand.Rand
	busy    ends
	recent  []time.Duration
	until   time.Duration
	banFor  time.Duration
	extend  bool
	banned  Verdict
	changed bool
	stats   Stats
}

// Stats is what a server has counted.
type Stats struct {
	Admitted   int // requests that the rule let in
	Violations int // requests that it refused
	Bans       int
	Banned     int // requests answered by a ban
}

// Stats returns what the server has counted so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Serve answers a request that arrives at now, the time since the server came up. A request with an
// earlier time than the one before it arrives at that one's time.
func (s *Server) Serve(now time.Duration) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	now = max(now, s.latest)
	s.latest = now
	if s.rng == nil {
		s.rng = rand.New(rand.NewPCG(s.Seed, 0x6c696d6974))
		s.until = math.MinInt64
	}
	if c := s.Change; c.At > 0 && now >= c.At && !s.changed {
		s.changed = true
		s.Rule.(Resizer).Resize(c.At, c.Factor)
	}
	if now < s.until {
		s.stats.Banned++
		if s.extend {
			s.until = now + s.banFor
		}
		return s.refusal(s.banned, s.until-now)
	}
	next := s.Rule.Next(now)
	if next > now+time.Microsecond || s.full(now) {
		return s.violation(now)
	}
	return s.admit(now)
}

// full says whether as many requests as the server takes are being served.
func (s *Server) full(now time.Duration) bool {
	for len(s.busy) > 0 && s.busy[0] <= now {
		heap.Pop(&s.busy)
	}
	return s.InFlight > 0 && len(s.busy) >= s.InFlight
}

func (s *Server) violation(now time.Duration) Answer {
	s.Rule.Count(now, false)
	s.stats.Violations++
	if s.punish(now) && s.Ban.AtOnce {
		if f, ok := s.Rule.(interface{ forget() }); ok {
			f.forget()
		}
		return s.refusal(s.Ban.Answer, s.until-now)
	}
	refuse := s.Refuse
	if refuse == OK {
		refuse = TooMany
	}
	a := s.refusal(refuse, max(time.Second, s.Rule.Next(now)-now))
	if q, ok := s.quota(now); ok {
		q.Remaining = 0
		a.Quota = q
	}
	return a
}

// punish notes a violation and says whether it began a ban.
func (s *Server) punish(now time.Duration) bool {
	b := s.Ban
	if b == nil {
		return false
	}
	earned := false
	if b.After > 0 {
		s.recent = append(s.recent, now)
		for s.recent[0] < now-b.Within {
			s.recent = s.recent[1:]
		}
		earned = len(s.recent) >= b.After
	}
	if r, ok := s.Rule.(interface{ Rate(time.Duration) float64 }); ok && b.Over > 0 {
		earned = earned || r.Rate(now) > b.Over
	}
	if !earned {
		return false
	}
	if s.banFor == 0 {
		s.banFor = b.For
	} else if b.Growth > 0 {
		s.banFor = time.Duration(float64(s.banFor) * b.Growth)
	}
	s.recent, s.extend, s.banned, s.until = s.recent[:0], b.Extend, b.Answer, now+s.banFor
	s.stats.Bans++
	return true
}

func (s *Server) refusal(v Verdict, wait time.Duration) Answer {
	a := Answer{Verdict: v, Status: v.Status()}
	if s.Slow {
		a.Busy = s.service()
	}
	if s.RetryAfter {
		a.RetryAfter = ceilSecond(wait)
	}
	return a
}

// service is how long an answer takes to make.
func (s *Server) service() time.Duration {
	return time.Duration(float64(s.Latency) * math.Exp(s.Spread*s.rng.NormFloat64()))
}

func (s *Server) admit(now time.Duration) Answer {
	queued := s.Rule.Count(now, true)
	s.stats.Admitted++
	a := Answer{Verdict: OK, Busy: queued + s.service()}
	if s.StallRate > 0 && s.rng.Float64() < s.StallRate {
		a.Busy += s.Stall
	}
	if s.InFlight > 0 {
		heap.Push(&s.busy, now+a.Busy)
	}
	a.Quota, _ = s.quota(now)
	a.Status = 200
	switch {
	case s.ErrorRate > 0 && s.rng.Float64() < s.ErrorRate:
		a.Status = []int{500, 502, 503, 504}[s.rng.IntN(4)]
		a.Verdict = Error
		if a.Status == 503 {
			a.Verdict = Unavailable
		}
	case s.CutRate > 0 && s.rng.Float64() < s.CutRate:
		a.Verdict = s.Cuts
		if s.Cuts == OK {
			a.Verdict = Reset
		}
		a.Status = a.Verdict.Status()
	}
	return a
}

func (s *Server) quota(now time.Duration) (Quota, bool) {
	q, ok := s.Rule.(Quoter)
	if !s.Headers || !ok {
		return Quota{}, false
	}
	v := q.Quota(now)
	v.Reset = ceilSecond(v.Reset)
	return v, true
}

func ceilSecond(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// ends is a heap of the times at which the requests in service end.
type ends []time.Duration

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i] < e[j] }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(time.Duration)) }
func (e *ends) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}
