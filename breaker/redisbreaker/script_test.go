package redisbreaker_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/breaker/redisbreaker"
)

// twin is the script by a clock of the test's own, beside the store in memory by the same clock.
type twin struct {
	c   *redis.Client
	mem breaker.Store
	now time.Time
	sha string
}

func newTwin(t *testing.T, c *redis.Client) *twin {
	w := &twin{c: c, now: time.Unix(1_700_000_000, 0)}
	w.mem = breaker.NewStoreAt(func() time.Time { return w.now })
	by := strings.Replace(redisbreaker.Source, "redis.call('TIME')",
		"{ARGV[#ARGV - 1], ARGV[#ARGV]}", 1)
	var err error
	if w.sha, err = c.ScriptLoad(bg, by).Result(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *twin) eval(name string, args []any) *redis.Cmd {
	us := w.now.UnixMicro()
	return w.c.EvalSha(bg, w.sha, redisbreaker.Keys(name), append(args, us/1e6, us%1e6)...)
}

func (w *twin) exchange(r breaker.Report) (script, mem breaker.Fleet, err error) {
	all, err := w.mem.Exchange(bg, []breaker.Report{r})
	if err != nil {
		return script, mem, err
	}
	bounded, err := r.Bounded()
	if err == nil {
		script, err = redisbreaker.Read(w.eval(r.Name, redisbreaker.ReportArgs(bounded)))
		script.Name = r.Name
	}
	return script, all[0], err
}

func TestScriptAnswersAsTheStoreInMemory(t *testing.T) {
	n := 4000
	if testing.Short() {
		n = 1000
	}
	both(t, func(t *testing.T, c *redis.Client) {
		sameAnswers(t, c, rand.Uint64(), n/2)
		states := sameAnswers(t, c, 1, n) // one seed that is known to see every state
		for _, s := range []breaker.State{breaker.Closed, breaker.HalfOpen, breaker.Open,
			breaker.Isolated} {
			if states[s] < n/200 {
				t.Errorf("%v was answered %d times", s, states[s])
			}
		}
	})
}

// sameAnswers puts n random questions to both and counts the states they were answered with.
func sameAnswers(t *testing.T, c *redis.Client, seed uint64, n int) map[breaker.State]int {
	rng := rand.New(rand.NewPCG(seed, 0))
	w := newTwin(t, c)
	var log []string
	eras := map[string]uint64{}
	states := map[breaker.State]int{}
	for range n {
		name := fmt.Sprint(seed, "/", rng.IntN(3))
		member := fmt.Sprint("member ", rng.IntN(5))
		era := eras[name]
		if rng.IntN(10) == 0 {
			era = max(1, era) + uint64(rng.IntN(3)) - 1
		}
		var script, mem any
		var err error
		switch k := rng.IntN(10); {
		case k < 6:
			r := breaker.Report{
				Name: name, Member: member, Era: era,
				Vote: breaker.State(rng.IntN(5)), Calls: rng.IntN(3),
				OpenFor: time.Duration(rng.Int64N(int64(20 * time.Second))),
				Cause:   fmt.Sprint("cause ", rng.IntN(3)),
				Isolate: rng.IntN(30) == 0, Release: rng.IntN(10) == 0,
				Quorum: []float64{0, 0.3, 0.5, 1, math.NaN()}[rng.IntN(5)],
			}
			var f, g breaker.Fleet
			f, g, err = w.exchange(r)
			eras[name] = g.Era
			states[g.State]++
			script, mem = f, g
			log = append(log, fmt.Sprintf("%v: %+v: %+v", w.now.UnixMicro(), r, g))
		case k < 8:
			d := time.Duration(rng.Int64N(int64(10*time.Second))) - time.Second
			script, err = w.eval(name, redisbreaker.ProbeArgs(member, era, d)).Bool()
			mem, _ = w.mem.Probe(bg, name, member, era, d)
			log = append(log,
				fmt.Sprintf("%v: probe %s %s %d %v: %v", w.now.UnixMicro(), name, member, era, d,
					mem))
		default:
			healthy := rng.IntN(2) == 0
			err = w.eval(name, redisbreaker.DoneArgs(member, era, healthy)).Err()
			_ = w.mem.Done(bg, name, member, era, healthy)
			log = append(log,
				fmt.Sprintf("%v: done %s %s %d %v", w.now.UnixMicro(), name, member, era, healthy))
		}
		if err != nil || !reflect.DeepEqual(script, mem) {
			t.Fatalf("seed %d: %v\nscript %+v\nmemory %+v\n%s", seed, err, script, mem,
				strings.Join(log[max(0, len(log)-12):], "\n"))
		}
		step := time.Duration(rng.Int64N(int64([]time.Duration{1, time.Millisecond, time.Second,
			20 * time.Second}[rng.IntN(4)]) + 1))
		if rng.IntN(100) == 0 {
			step = -step // the clock is set back
		}
		w.now = w.now.Add(step.Truncate(time.Microsecond))
	}
	return states
}

func TestNameOfAnyBytes(t *testing.T) {
	names := []string{"", "catalog", "}", "{", "}{", "{}", "a}b{c}", "\x00", "\xff\xfe", "пример",
		"a b\r\nc", strings.Repeat("x", 1<<16)}
	both(t, func(t *testing.T, c *redis.Client) {
		s := redisbreaker.New(c)
		for range 2 {
			var mine []breaker.Report
			for i, name := range names {
				for m := range 2 {
					mine = append(mine,
						breaker.Report{Name: name, Member: fmt.Sprint("m\n} ", m),
							Vote: breaker.Open, OpenFor: time.Minute, Calls: i + 1})
				}
			}
			all, err := s.Exchange(bg, mine)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range all {
				if f.Name != names[i/2] ||
					i%2 == 1 && (f.State != breaker.Open || f.Votes != 2 || f.Era != 1) {
					t.Errorf("%.20q: %+.100v", names[i/2], f)
				}
			}
		}
	})
}

// The slot of a key is by what stands between the first brace and the first closing one after it.
func TestKeysOfANameAreInOneSlot(t *testing.T) {
	both(t, func(t *testing.T, c *redis.Client) {
		for _, name := range []string{"", "catalog", "}", "{", "}{", "{}", "a}b{c}"} {
			tags := map[string]bool{}
			for _, k := range redisbreaker.Keys(name) {
				_, tag, _ := strings.Cut(k, "{")
				tag, _, ok := strings.Cut(tag, "}")
				if !ok || tag == "" {
					t.Errorf("%q: no tag", k)
				}
				tags[tag] = true
			}
			if len(tags) != 1 {
				t.Errorf("%q: %v", name, tags)
			}
		}
		_, err := redisbreaker.New(c).Exchange(bg,
			[]breaker.Report{{Name: "x", Member: "m", Vote: breaker.Open, OpenFor: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range redisbreaker.Keys("x")[:3] {
			if ttl := c.PTTL(bg, k).Val(); ttl <= 23*time.Hour || ttl > 24*time.Hour {
				t.Errorf("%s lives for %v", k, ttl)
			}
		}
	})
}

func TestForgottenScriptIsSentAgain(t *testing.T) {
	both(t, func(t *testing.T, c *redis.Client) {
		s := redisbreaker.New(c)
		mine := []breaker.Report{{Name: "a", Member: "m", Calls: 1},
			{Name: "b", Member: "m", Calls: 1}}
		for range 3 {
			all, err := s.Exchange(bg, mine)
			if err != nil || len(all) != 2 || all[1].Name != "b" ||
				all[1].State != breaker.Closed || all[1].Members != 1 {
				t.Fatal(all, err)
			}
			_ = c.ScriptFlush(bg)
			if ok, err := s.Probe(bg, "a", "m", 1, time.Second); ok || err != nil {
				t.Fatal(ok, err)
			}
			_ = c.ScriptFlush(bg)
			if err := s.Done(bg, "a", "m", 1, true); err != nil {
				t.Fatal(err)
			}
			_ = c.ScriptFlush(bg)
		}
		if all, err := s.Exchange(bg, nil); len(all) != 0 || err != nil {
			t.Error(all, err)
		}
	})
}

func TestBrokenKeysOfOneBreakerDoNotConcernTheOthers(t *testing.T) {
	both(t, func(t *testing.T, c *redis.Client) {
		s := redisbreaker.New(c)
		for i := range 4 {
			name := fmt.Sprint("broken ", i)
			k := redisbreaker.Keys(name)[i]
			if i == 0 || i == 3 {
				c.LPush(bg, k, "a list")
			} else {
				c.Set(bg, k, "a string", 0)
			}
			all, err := s.Exchange(bg, []breaker.Report{
				{Name: name, Member: "m", Vote: breaker.Open, OpenFor: time.Minute},
				{Name: "whole", Member: fmt.Sprint(i), Vote: breaker.Open, OpenFor: time.Minute},
			})
			if i < 3 && (err == nil || !strings.HasPrefix(err.Error(), "breaker "+name+": ") ||
				!strings.Contains(err.Error(), "WRONGTYPE") || all[0] != (breaker.Fleet{})) {
				t.Errorf("%d: %+v, %v", i, all, err)
			}
			if len(all) != 2 || all[1].Members != i+1 {
				t.Errorf("%d: %+v", i, all)
			}
		}
		// Values that are not numbers.
		c.HSet(bg, redisbreaker.Keys("junk")[0], "era", "nan", "state", "-1", "until", "1e300",
			"open_for", "", "last", "x")
		all, err := s.Exchange(bg, []breaker.Report{{Name: "junk", Member: "m", Calls: 1}})
		if err != nil || all[0].State != breaker.Closed || all[0].Era != 0 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestNoClientAndNoMemberAreConfigurationErrors(t *testing.T) {
	s := redisbreaker.New(nil)
	if _, err := s.Exchange(bg, []breaker.Report{{Member: "m"}}); err == nil ||
		err.Error() != "redisbreaker.New: client(nil): must not be nil" {
		t.Error(err)
	}
	if _, err := s.Probe(bg, "x", "m", 1, time.Second); err == nil {
		t.Error("no error")
	}
	if err := s.Done(bg, "x", "m", 1, true); err == nil {
		t.Error("no error")
	}
	_, err := redisbreaker.New(client(t, free(t))).Exchange(bg, []breaker.Report{{}})
	if err == nil || !strings.Contains(err.Error(), "Report.Member") {
		t.Error(err)
	}
}
