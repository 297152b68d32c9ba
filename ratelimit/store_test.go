package ratelimit_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// ledgerScript asks a store by a clock of its own, a limit of 10 a second, burst 5, leases of a
// second.
type ledgerScript struct {
	*testing.T
	now   time.Time
	store ratelimit.Store
}

func newLedgerScript(t *testing.T) *ledgerScript {
	s := &ledgerScript{T: t, now: time.Unix(1_800_000_000, 0)}
	s.store = ratelimit.NewStoreAt(func() time.Time { return s.now })
	return s
}

func (s *ledgerScript) ask(at time.Duration, a ratelimit.Ask) ratelimit.Grant {
	s.Helper()
	s.now = time.Unix(1_800_000_000, 0).Add(at)
	if a.Member == "" {
		a.Member = "a"
	}
	if a.Limit == 0 {
		a.Limit = 10
	}
	if a.Burst == 0 {
		a.Burst = 5
	}
	a.Lease = time.Second
	g, err := s.store.Take(bg, "catalog", a)
	if err != nil {
		s.Fatal(err)
	}
	return g
}

func TestStore(t *testing.T) {
	type step struct {
		at   time.Duration
		ask  ratelimit.Ask
		want ratelimit.Grant
	}
	const s = time.Second
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"new: two leases without tokens, then one after the other", []step{
			{0, ratelimit.Ask{Need: 3},
				ratelimit.Grant{Tokens: 3, First: 2*s + 100*ms, Members: 1, Floor: 2*s + 300*ms}},
			{2 * s, ratelimit.Ask{Need: 20},
				ratelimit.Grant{Tokens: 10, First: 400 * ms, Members: 1, Floor: 1300 * ms}},
		}},
		{"saved up to the burst, all at once", []step{
			{0, ratelimit.Ask{}, ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{10 * s, ratelimit.Ask{Need: 3},
				ratelimit.Grant{Tokens: 3, Now: 3, First: 100 * ms, Members: 1, Floor: -200 * ms}},
			{10 * s, ratelimit.Ask{Want: 9},
				ratelimit.Grant{Tokens: 2, Now: 2, First: 100 * ms, Members: 1}},
			{10 * s, ratelimit.Ask{Want: 9}, ratelimit.Grant{First: 100 * ms, Members: 1}},
		}},
		{"of two members each gets half a lease of the future", []step{
			{0, ratelimit.Ask{Member: "b"},
				ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{2 * s, ratelimit.Ask{Need: 50},
				ratelimit.Grant{Tokens: 5, First: 100 * ms, Members: 2, Floor: 500 * ms}},
			{2 * s, ratelimit.Ask{Member: "b", Need: 7},
				ratelimit.Grant{Tokens: 5, First: 600 * ms, Members: 2, Floor: s}},
		}},
		{"silent for ten leases: counts no longer", []step{
			{0, ratelimit.Ask{Member: "b"},
				ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{10 * s, ratelimit.Ask{},
				ratelimit.Grant{First: 100 * ms, Members: 1, Floor: -500 * ms}},
		}},
		{"nothing more than two leases ahead", []step{
			{0, ratelimit.Ask{Back: -30},
				ratelimit.Grant{First: 5*s + 100*ms, Members: 1, Floor: 5 * s}},
			{0, ratelimit.Ask{Need: 1},
				ratelimit.Grant{First: 5*s + 100*ms, Members: 1, Floor: 5 * s}},
			{2900*ms + ms, ratelimit.Ask{Need: 1},
				ratelimit.Grant{Tokens: 1, First: 2*s + 199*ms, Members: 1, Floor: 2*s + 199*ms}},
		}},
		{"given back, up to the burst", []step{
			{0, ratelimit.Ask{}, ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{2 * s, ratelimit.Ask{Back: 2},
				ratelimit.Grant{First: 100 * ms, Members: 1, Floor: -200 * ms}},
			{2 * s, ratelimit.Ask{Back: 1000},
				ratelimit.Grant{First: 100 * ms, Members: 1, Floor: -500 * ms}},
		}},
		{"a debt of an hour at most, whoever adds to it", []step{
			{0, ratelimit.Ask{Back: -1e6},
				ratelimit.Grant{First: time.Hour + 100*ms, Members: 1, Floor: time.Hour}},
			{0, ratelimit.Ask{Back: -1},
				ratelimit.Grant{First: time.Hour + 100*ms, Members: 1, Floor: time.Hour}},
		}},
		{"the clock set back: no time has passed", []step{
			{0, ratelimit.Ask{}, ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{s, ratelimit.Ask{}, ratelimit.Grant{First: s + 100*ms, Members: 1, Floor: s}},
			{-time.Hour, ratelimit.Ask{}, ratelimit.Grant{First: s + 100*ms, Members: 1, Floor: s}},
			{-time.Hour + 2*s, ratelimit.Ask{Need: 6},
				ratelimit.Grant{Tokens: 10 - 4, Now: 5, First: 100 * ms,
					Members: 1, Floor: 100 * ms}},
		}},
		{"the clock set forward: full", []step{
			{0, ratelimit.Ask{}, ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{time.Hour, ratelimit.Ask{},
				ratelimit.Grant{First: 100 * ms, Members: 1, Floor: -500 * ms}},
		}},
		{"what a member remembers repairs a bucket that is behind", []step{
			{0, ratelimit.Ask{}, ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{9 * s, ratelimit.Ask{Floor: 700 * ms},
				ratelimit.Grant{First: 800 * ms, Members: 1, Floor: 700 * ms}},
			{9 * s, ratelimit.Ask{Floor: -time.Hour},
				ratelimit.Grant{First: 800 * ms, Members: 1, Floor: 700 * ms}},
		}},
		{"a pause holds for all, and the longest counts", []step{
			{0, ratelimit.Ask{}, ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{5 * s, ratelimit.Ask{Pause: 3 * s},
				ratelimit.Grant{First: 3 * s, Members: 1, Floor: 2900 * ms, Pause: 3 * s}},
			{6 * s, ratelimit.Ask{Pause: s, Need: 1},
				ratelimit.Grant{Tokens: 1, First: 2 * s, Members: 1, Floor: 2 * s, Pause: 2 * s}},
			{8 * s, ratelimit.Ask{Need: 1},
				ratelimit.Grant{Tokens: 1, First: 100 * ms, Members: 1, Floor: 100 * ms}},
		}},
		{"the figures set last hold", []step{
			{0, ratelimit.Ask{Since: s},
				ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{5 * s, ratelimit.Ask{Member: "b", Limit: 20, Burst: 8, Since: ms},
				ratelimit.Grant{First: 50 * ms, Members: 2, Floor: -250 * ms}},
			{5 * s, ratelimit.Ask{Since: 6 * s},
				ratelimit.Grant{First: 50 * ms, Members: 2, Floor: -250 * ms, Limit: 20, Burst: 8}},
			{6 * s, ratelimit.Ask{Since: ms, Limit: 5},
				ratelimit.Grant{First: 200 * ms, Members: 2, Floor: -s}},
		}},
		{"of two set at once the smaller", []step{
			{0, ratelimit.Ask{Since: ms, Limit: 20, Burst: 3},
				ratelimit.Grant{First: 2*s + 50*ms, Members: 1, Floor: 2 * s}},
			{0, ratelimit.Ask{Member: "b", Since: ms},
				ratelimit.Grant{First: 2*s + 100*ms, Members: 2, Floor: 2 * s, Burst: 3}},
			{0, ratelimit.Ask{Since: ms, Limit: 20, Burst: 3},
				ratelimit.Grant{First: 2*s + 100*ms, Members: 2, Floor: 2 * s, Limit: 10}},
		}},
		{"one that has not heard of a change is told, also without a Since", []step{
			{0, ratelimit.Ask{}, ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{4 * s, ratelimit.Ask{Member: "b", Limit: 20},
				ratelimit.Grant{First: 50 * ms, Members: 2, Floor: -250 * ms}},
			{4 * s, ratelimit.Ask{},
				ratelimit.Grant{First: 50 * ms, Members: 2, Floor: -250 * ms, Limit: 20}},
		}},
		{"one member leads, and hears of the others", []step{
			{0, ratelimit.Ask{Learn: true},
				ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s, Lead: true}},
			{0, ratelimit.Ask{Member: "b", Learn: true, Answers: 7, Refusals: 2},
				ratelimit.Grant{First: 2*s + 100*ms, Members: 2, Floor: 2 * s}},
			{s, ratelimit.Ask{Learn: true, Learned: 20},
				ratelimit.Grant{First: s + 50*ms, Members: 2, Floor: s, Limit: 20, Lead: true,
					Answers: 7, Refusals: 2}},
			{s, ratelimit.Ask{Learn: true, Learned: 20},
				ratelimit.Grant{First: s + 50*ms, Members: 2, Floor: s, Limit: 20, Lead: true}},
			{s, ratelimit.Ask{Member: "b", Learn: true},
				ratelimit.Grant{First: s + 50*ms, Members: 2, Floor: s, Limit: 20}},
			{4 * s, ratelimit.Ask{Member: "b", Learn: true},
				ratelimit.Grant{First: 50 * ms, Members: 2,
					Floor: -250 * ms, Limit: 20, Lead: true}},
		}},
		{"forgotten after a day", []step{
			{0, ratelimit.Ask{}, ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
			{24 * time.Hour, ratelimit.Ask{},
				ratelimit.Grant{First: 2*s + 100*ms, Members: 1, Floor: 2 * s}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newLedgerScript(t)
			for i, step := range c.steps {
				if got := s.ask(step.at, step.ask); got != step.want {
					t.Errorf("step %d, %+v:\n got %+v\nwant %+v", i, step.ask, got, step.want)
				}
			}
		})
	}
}

func TestStoreRefusesWhatMakesNoSense(t *testing.T) {
	fine := ratelimit.Ask{Member: "a", Limit: 1, Burst: 1, Lease: time.Second}
	if err := fine.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*ratelimit.Ask){
		"Member":   func(a *ratelimit.Ask) { a.Member = "" },
		"Limit":    func(a *ratelimit.Ask) { a.Limit = math.NaN() },
		"Burst":    func(a *ratelimit.Ask) { a.Burst = 0 },
		"Lease":    func(a *ratelimit.Ask) { a.Lease = -1 },
		"Need":     func(a *ratelimit.Ask) { a.Need = -1 },
		"Want":     func(a *ratelimit.Ask) { a.Want = math.MaxInt },
		"Back":     func(a *ratelimit.Ask) { a.Back = math.MinInt },
		"Floor":    func(a *ratelimit.Ask) { a.Floor = math.MaxInt64 },
		"Pause":    func(a *ratelimit.Ask) { a.Pause = -1 },
		"Since":    func(a *ratelimit.Ask) { a.Since = -1 },
		"Answers":  func(a *ratelimit.Ask) { a.Answers = -1 },
		"Refusals": func(a *ratelimit.Ask) { a.Refusals = -1 },
		"Learned":  func(a *ratelimit.Ask) { a.Learned = math.Inf(1) },
	} {
		a := fine
		spoil(&a)
		if _, err := ratelimit.NewStore().Take(bg, "x", a); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Whatever is asked, tokens never come from nothing: at any moment at most as many are due as the
// limit has given by then, and by their times they would pass a bucket of the burst.
func TestStoreGrantsNoMoreThanItsLimit(t *testing.T) {
	rounds := 300
	if testing.Short() || ratelimit.RaceEnabled {
		rounds = 40
	}
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 3))
		limit, burst := math.Exp(rnd.Float64()*7), 1+rnd.IntN(50)
		lease := time.Duration(50+rnd.IntN(1000)) * ms
		start := time.Unix(1_800_000_000, 0)
		now := start
		store := ratelimit.NewStoreAt(func() time.Time { return now })
		var due []time.Time
		for range 400 {
			now = now.Add(time.Duration(rnd.ExpFloat64() * float64(lease) / 6))
			a := ratelimit.Ask{
				Member: string(rune('a' + rnd.IntN(6))), Limit: limit, Burst: burst, Lease: lease,
				Need: rnd.IntN(2) * rnd.IntN(40), Want: rnd.IntN(40),
				Floor: -time.Duration(rnd.Int64N(int64(time.Hour))),
				Back:  -rnd.IntN(2) * rnd.IntN(3),
			}
			g, err := store.Take(bg, "x", a)
			if err != nil {
				t.Fatal(err)
			}
			for i := range g.Tokens {
				at := now
				if i >= g.Now {
					at = now.Add(
						g.First + time.Duration(float64(i-g.Now)/limit*float64(time.Second)))
				}
				due = append(due, at)
			}
		}
		const rounding = 1
		if got := needed(due, limit); got > float64(burst)+rounding {
			t.Errorf("seed %d: limit %.3g, burst %d: needed %.1f", seed, limit, burst, got)
		}
		for i, at := range due { // sorted by now
			if most := at.Sub(start.Add(2*lease)).Seconds()*limit + rounding; float64(i+1) > most {
				t.Fatalf("seed %d: token %d is due %v after the start: at most %.1f are by then",
					seed, i+1, at.Sub(start), most)
			}
		}
	}
}
