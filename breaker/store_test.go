package breaker_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

// A step of a script is what is done to the store, and the answer: "state era left votes/members"
// of a report, true or false of a probe.
type step struct {
	do   func(s breaker.Store) string
	want string
}

func report(r breaker.Report) func(s breaker.Store) string {
	return func(s breaker.Store) string {
		if r.Name = "x"; r.OpenFor == 0 {
			r.OpenFor = 10 * time.Second
		}
		all, err := s.Exchange(bg, []breaker.Report{r})
		if err != nil {
			return err.Error()
		}
		f := all[0]
		return strings.TrimSpace(fmt.Sprintf("%v %d %v %d/%d %s", f.State, f.Era, f.Left, f.Votes,
			f.Members, f.Cause))
	}
}

func votes(member string, era uint64) func(s breaker.Store) string {
	return report(breaker.Report{Member: member, Era: era, Vote: breaker.Open, Calls: 1,
		Cause: "boom"})
}

func calls(member string, era uint64) func(s breaker.Store) string {
	return report(breaker.Report{Member: member, Era: era, Calls: 1})
}

func looks() func(s breaker.Store) string { return report(breaker.Report{Member: "looks"}) }

func probes(member string, era uint64, d time.Duration) func(s breaker.Store) string {
	return func(s breaker.Store) string {
		ok, err := s.Probe(bg, "x", member, era, d)
		return fmt.Sprint(ok, err)
	}
}

func done(member string, era uint64, healthy bool) func(s breaker.Store) string {
	return func(s breaker.Store) string { return fmt.Sprint(s.Done(bg, "x", member, era, healthy)) }
}

func TestStore(t *testing.T) {
	now := time.Unix(1e9, 0)
	pass := func(d time.Duration) func(breaker.Store) string {
		return func(breaker.Store) string { now = now.Add(d); return "" }
	}
	isolate := breaker.Report{Member: "a", Isolate: true, Cause: "by hand"}
	release := breaker.Report{Member: "b", Release: true}
	opened := []step{
		{calls("a", 0), "closed 0 0s 0/1"},
		{votes("a", 0), "closed 0 0s 1/1"}, // alone it holds only itself
		{pass(time.Second), ""},
		{votes("b", 0), "open 1 10s 2/2 boom"},
	}
	halfOpen := append(opened[:len(opened):len(opened)],
		step{probes("a", 1, time.Second), "false <nil>"}, // not yet
		step{pass(10 * time.Second), ""},
		step{looks(), "half-open 1 0s 0/0 boom"})
	for name, script := range map[string][]step{
		"opened by half of the members": {
			{calls("a", 0), "closed 0 0s 0/1"}, {calls("b", 0), "closed 0 0s 0/2"},
			{calls("c", 0), "closed 0 0s 0/3"},
			{calls("d", 0), "closed 0 0s 0/4"}, {calls("e", 0), "closed 0 0s 0/5"},
			{votes("a", 0), "closed 0 0s 1/5"}, {votes("b", 0), "closed 0 0s 2/5"},
			{votes("b", 0), "closed 0 0s 2/5"},
			{calls("a", 0), "closed 0 0s 1/5"}, // it is well again
			{votes("a", 0), "closed 0 0s 2/5"}, {votes("c", 0), "open 1 10s 3/5 boom"},
		},
		"members that do not call are not counted": {
			{looks(), "closed 0 0s 0/0"}, {calls("a", 0), "closed 0 0s 0/1"},
			{pass(10 * time.Second), ""}, {calls("b", 0), "closed 0 0s 0/1"},
		},
		"a vote lives for one open time, however often it is told": {
			{votes("a", 0), "closed 0 0s 1/1"}, {pass(6 * time.Second), ""},
			{votes("a", 0), "closed 0 0s 1/1"},
			{pass(5 * time.Second), ""}, {votes("b", 0), "closed 0 0s 1/2"},
		},
		"votes of another era do not count": {
			{votes("a", 0), "closed 0 0s 1/1"}, {votes("b", 7), "closed 7 0s 1/2"},
			{votes("a", 3), "closed 7 0s 1/2"},
		},
		"an era that was forgotten is closed": append(opened[:len(opened):len(opened)],
			step{calls("a", 4), "closed 4 0s 0/2"}),
		"a late vote has all wait for its end": append(opened[:len(opened):len(opened)],
			step{pass(4 * time.Second), ""}, step{votes("c", 1), "open 1 10s 3/3 boom"},
			step{votes("d", 0), "open 1 10s 3/4 boom"}),
		"one probe at a time": append(halfOpen[:len(halfOpen):len(halfOpen)],
			step{probes("a", 0, time.Second), "false <nil>"}, step{probes("a", 1, time.Second),
				"true <nil>"},
			step{probes("b", 1, time.Second), "false <nil>"}, step{probes("a", 1, 2*time.Second),
				"true <nil>"},
			step{pass(2*time.Second - time.Microsecond), ""}, step{probes("b", 1, time.Second),
				"false <nil>"},
			// a is lost
			step{pass(time.Microsecond), ""}, step{probes("b", 1, time.Second), "true <nil>"},
			// not its own to give back
			step{probes("a", 1, 0), "false <nil>"}, step{probes("a", 1, time.Second),
				"false <nil>"},
			step{probes("b", 1, 0), "false <nil>"}, step{probes("a", 1, time.Second),
				"true <nil>"}),
		"a healthy probe closes, and the votes are gone": append(
			halfOpen[:len(halfOpen):len(halfOpen)],
			step{probes("a", 1, time.Second), "true <nil>"}, step{votes("c", 1),
				"open 1 10s 1/1 boom"},
			step{done("a", 0, true), "<nil>"}, step{looks(), "open 1 10s 1/1 boom"},
			step{done("a", 1, true), "<nil>"}, step{looks(), "closed 2 0s 0/1"}, step{votes("b", 2),
				"closed 2 0s 1/2"},
			step{probes("b", 2, time.Second), "false <nil>"}, step{done("a", 1, false), "<nil>"},
			step{looks(), "closed 2 0s 1/2"}),
		"a probe that fails opens for as long as before": append(
			halfOpen[:len(halfOpen):len(halfOpen)],
			step{probes("a", 1, time.Hour), "true <nil>"}, step{pass(time.Second), ""},
			step{done("a", 1, false), "<nil>"},
			step{looks(), "open 2 10s 0/0 boom"}, step{pass(10 * time.Second), ""},
			step{probes("b", 2, time.Second), "true <nil>"}),
		"isolated until released, from any era": append(opened[:len(opened):len(opened)],
			step{report(isolate), "isolated 2 0s 0/2 by hand"}, step{pass(time.Hour), ""},
			step{votes("c", 2), "isolated 2 0s 0/1 by hand"},
			step{report(isolate), "isolated 2 0s 0/1 by hand"}, step{done("a", 2, true), "<nil>"},
			step{probes("a", 2, time.Second), "false <nil>"},
			step{report(release), "closed 3 0s 0/1"}, step{report(release), "closed 3 0s 0/1"}),
		"the clock is set back": append(opened[:len(opened):len(opened)],
			step{pass(4 * time.Second), ""}, step{looks(), "open 1 6s 2/2 boom"},
			step{pass(-time.Hour), ""}, step{looks(), "open 1 6s 0/0 boom"}),
		"forgotten after a day": append(opened[:len(opened):len(opened)],
			step{pass(24 * time.Hour), ""}, step{looks(), "closed 0 0s 0/0"}),
		"figures without sense": {
			{report(breaker.Report{}), `breaker.Store: Report.Member(""): must not be empty`},
			{report(breaker.Report{Member: "a", Era: math.MaxUint64, Vote: 9, OpenFor: -1,
				Calls: -1, Quorum: math.NaN()}), "closed 0 0s 0/0"},
			{report(breaker.Report{Member: "a", Vote: breaker.Open, OpenFor: math.MaxInt64,
				Quorum: -1}), "closed 0 0s 1/1"},
			{report(breaker.Report{Member: "b", Vote: breaker.Open, OpenFor: math.MaxInt64,
				Quorum: math.Inf(1)}), "open 1 24h0m0s 2/2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := breaker.NewStoreAt(func() time.Time { return now })
			for i, step := range script {
				if got := step.do(s); got != step.want {
					t.Fatalf("step %d: %s, want %s", i, got, step.want)
				}
			}
		})
	}
	_, err := breaker.NewStore().Exchange(bg, []breaker.Report{{}})
	if !errors.Is(err, retry.ErrConfig) {
		t.Error(err)
	}
}
