package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

// part is a policy with a name, and perhaps a configuration error.
type part struct {
	name string
	err  error
	idle bool
}

func (part) Do(ctx context.Context, next retry.Next) error { return next.Do(ctx) }
func (p part) String() string                              { return p.name }
func (p part) Validate() error                             { return p.err }
func (p part) Idle() bool                                  { return p.idle }

type group []retry.Policy

func (group) Do(ctx context.Context, next retry.Next) error { return next.Do(ctx) }
func (group) String() string                                { return "group(of policies)" }
func (g group) Members(yield func(string, retry.Policy) bool) {
	for i, p := range g {
		if !yield(strconv.Itoa(i), p) {
			return
		}
	}
}

// Guard is what a user writes to give a chain a name.
type Guard struct{ retry.Policy }

type (
	Named interface {
		retry.Policy
		fmt.Stringer
	}
	outer  struct{ Guard }
	middle struct{ *Guard }
	wider  struct{ Named }
)

type wrapped struct{ inside retry.Policy }

func (w wrapped) Do(ctx context.Context, next retry.Next) error { return w.inside.Do(ctx, next) }
func (w wrapped) Unwrap() retry.Policy                          { return w.inside }

func TestWalk(t *testing.T) {
	a, b := part{name: "limiter a(10/s)"}, part{name: "breaker b(closed)"}
	for name, tc := range map[string]struct {
		p    retry.Policy
		want []string
	}{
		"nothing":     {nil, nil},
		"empty chain": {retry.Chain(), nil},
		"one":         {a, []string{"limiter a"}},
		"a chain": {
			retry.Chain(a, retry.Chain(b, a)), []string{"limiter a", "breaker b", "limiter a 2"}},
		"a container": {retry.Chain(a, group{b, nil, retry.Chain(a, b)}),
			[]string{"limiter a", "group", "group/0", "group/2/limiter a", "group/2/breaker b"}},
		"an embedded field": {
			Guard{retry.Chain(a, b)}, []string{"Guard", "Guard/limiter a", "Guard/breaker b"}},
		"a wrapper": {
			&Guard{wrapped{a}}, []string{"Guard", "Guard/wrapped", "Guard/wrapped/limiter a"}},
		"an empty wrapper": {&Guard{}, []string{"Guard"}},
	} {
		var got []string
		left := retry.Walk(tc.p, func(path string, p retry.Policy) bool {
			got = append(got, path)
			return true
		})
		if !slices.Equal(got, tc.want) || left != 0 {
			t.Errorf("%s: %q, %d left out", name, got, left)
		}
	}
}

func TestWalkStopsAndIsBounded(t *testing.T) {
	many := make(group, 1500)
	for i := range many {
		many[i] = part{name: "p"}
	}
	visited := 0
	left := retry.Walk(retry.Chain(many, part{name: "last"}), func(string, retry.Policy) bool {
		visited++
		return true
	})
	if visited != 1+1000+1 || left != 500 {
		t.Errorf("%d visited, %d left out", visited, left)
	}
	visited = 0
	retry.Walk(retry.Chain(many, part{name: "last"}), func(string, retry.Policy) bool {
		visited++
		return visited < 5
	})
	if visited != 5 {
		t.Errorf("went on: %d", visited)
	}
}

func TestValidateAndIdleLookThroughWrappers(t *testing.T) {
	bad := part{name: "p", err: errors.New("bad")}
	for name, p := range map[string]retry.Policy{
		"embedded": Guard{bad}, "by pointer": &Guard{bad}, "twice": outer{Guard{bad}},
		"twice by pointer": &outer{Guard{bad}}, "through a pointer": middle{&Guard{bad}},
		"by a wider interface": wider{retry.Chain(bad, bad).(Named)},
		"by Unwrap":            wrapped{bad},
		"in a chain":           retry.Chain(Guard{retry.Chain(part{}, bad)}, part{}),
	} {
		if err := retry.Validate(p); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	called := false
	err := retry.Run(t.Context(), retry.Chain(part{}, Guard{bad}), func(context.Context) error {
		called = true
		return nil
	})
	if called || !errors.Is(err, retry.ErrConfig) {
		t.Errorf("a chain with such a member: called %v, %v", called, err)
	}
	if err := retry.Validate((*Guard)(nil)); err != nil {
		t.Error(err)
	}
	if retry.Idle(Guard{part{}}) || !retry.Idle(Guard{part{idle: true}}) ||
		retry.Idle(retry.PolicyFunc(nil)) {
		t.Error("Idle does not look through")
	}
}

func TestPolicyInsideItselfIsAConfigurationError(t *testing.T) {
	direct := &Guard{}
	direct.Policy = direct
	chained := &Guard{}
	chained.Policy = retry.Chain(part{name: "a"}, chained, chained)
	unwraps := &loopback{}
	unwraps.Policy = retry.Chain(unwraps, part{name: "a"})
	for want, p := range map[string]retry.Policy{
		"Guard(itself)":                direct,
		"Guard(a -> itself -> itself)": chained,
		"loopback(itself -> a)":        unwraps,
		"a -> Guard(itself)":           retry.Chain(part{name: "a"}, direct),
	} {
		if err := retry.Validate(p); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: %v", want, err)
		}
		if got := retry.Describe(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		visited := 0
		retry.Walk(p, func(string, retry.Policy) bool { visited++; return true })
		if visited == 0 || visited > 3 {
			t.Errorf("%s: visited %d", want, visited)
		}
		_, _ = retry.Idle(p), retry.Lint(p)
	}
	twice := &Guard{part{name: "a"}}
	if err := retry.Validate(retry.Chain(twice, twice)); err != nil {
		t.Errorf("the same policy twice: %v", err)
	}
}

// loopback is a wrapper by its method.
type loopback struct{ Policy retry.Policy }

func (l *loopback) Do(ctx context.Context, next retry.Next) error { return l.Policy.Do(ctx, next) }
func (l *loopback) Unwrap() retry.Policy                          { return l.Policy }

func TestDescribe(t *testing.T) {
	pass := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		return next.Do(ctx)
	})
	for want, p := range map[string]retry.Policy{
		"no policy":   nil,
		"empty chain": retry.Chain(),
		"a -> PolicyFunc -> observe": retry.Chain(part{name: "a"}, pass,
			retry.Observe(func(context.Context, retry.Event) {})),
		"Guard(a -> b)": &Guard{retry.Chain(part{name: "a"}, part{name: "b"})},
		"gate":          retry.Gate(func(context.Context) (func(error), error) { return nil, nil }),
	} {
		if got := retry.Describe(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := fmt.Sprint(retry.Chain(part{name: "a"}, part{name: "b"})); got != "a -> b" {
		t.Errorf("a chain prints as %q", got)
	}
}
