package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

var errBoom = errors.New("boom")

// named notes its name on the way in and on the way out.
func named(name string, trace *[]string) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		*trace = append(*trace, name)
		err := next.Do(ctx)
		*trace = append(*trace, "/"+name)
		return err
	})
}

func again(n int) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) (err error) {
		for i := range n {
			err = next.Try(ctx, i+1)
		}
		return err
	})
}

func succeed(context.Context) (int, error) { return 7, nil }

func TestFirstPolicyIsOutermost(t *testing.T) {
	var trace []string
	a, b, c := named("a", &trace), named("b", &trace), named("c", &trace)
	for _, tc := range []struct {
		name  string
		chain retry.Policy
		want  string
	}{
		{"nil", nil, "f"},
		{"empty", retry.Chain(), "f"},
		{"only nil members", retry.Chain(nil, nil), "f"},
		{"empty in empty", retry.Chain(retry.Chain(), retry.Chain(retry.Chain())), "f"},
		{"one", a, "a f /a"},
		{"one in a chain", retry.Chain(nil, a), "a f /a"},
		{"three", retry.Chain(a, b, c), "a b c f /c /b /a"},
		{"nested left", retry.Chain(retry.Chain(a, b), c), "a b c f /c /b /a"},
		{"nested right", retry.Chain(a, retry.Chain(b, c)), "a b c f /c /b /a"},
		{"repeating inside", retry.Chain(a, again(2), b), "a b f /b b f /b /a"},
		{"repeating outside", retry.Chain(again(2), a), "a f /a a f /a"},
		{"chain run by a policy",
			retry.Chain(a, dynamic{retry.Chain(b, a)}, c), "a b a c f /c /a /b /a"},
		{"chain run by the last policy",
			retry.Chain(a, dynamic{retry.Chain(b, c)}), "a b c f /c /b /a"},
		{"identity run by a policy", retry.Chain(dynamic{retry.Chain()}, a), "a f /a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			trace = nil
			v, err := retry.Do(t.Context(), tc.chain, func(context.Context) (int, error) {
				trace = append(trace, "f")
				return 7, nil
			})
			if got := strings.Join(trace, " "); got != tc.want || v != 7 || err != nil {
				t.Errorf("ran %q with (%d, %v), want %q with (7, nil)", got, v, err, tc.want)
			}
			trace = nil
			err = retry.Run(t.Context(), tc.chain, func(context.Context) error {
				trace = append(trace, "f")
				return errBoom
			})
			if got := strings.Join(trace, " "); got != tc.want || !errors.Is(err, errBoom) {
				t.Errorf("Run: ran %q with %v, want %q with boom", got, err, tc.want)
			}
		})
	}
}

// dynamic chooses a policy when it is called, as Keyed does.
type dynamic struct{ p retry.Policy }

func (d dynamic) Do(ctx context.Context, next retry.Next) error { return d.p.Do(ctx, next) }

func TestDerivingAChainLeavesTheFirstAlone(t *testing.T) {
	var trace []string
	members := []retry.Policy{named("a", &trace), named("b", &trace)}
	first := retry.Chain(members...)
	members[0] = named("x", &trace)
	_ = retry.Chain(first, named("c", &trace))
	_ = retry.Chain(first, named("d", &trace))
	_, _ = retry.Do(t.Context(), first, succeed)
	if got := strings.Join(trace, " "); got != "a b /b /a" {
		t.Errorf("first chain ran %q", got)
	}
}

func TestLastValueComesBackInEveryMode(t *testing.T) {
	f := func(ctx context.Context) (int, error) { return retry.Attempt(ctx), errBoom }
	for n := range 4 {
		if v, err := retry.Do(t.Context(), again(n), f); v != n ||
			(n > 0) != errors.Is(err, errBoom) {
			t.Errorf("%d calls: got (%d, %v)", n, v, err)
		}
	}
	refuse := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		return &retry.Rejection{Policy: "test", Reason: errBoom}
	})
	if v, err := retry.Do(t.Context(), refuse, succeed); v != 7 ||
		!errors.Is(err, retry.ErrRejected) {
		t.Errorf("got (%d, %v), want the value and the rejection", v, err)
	}
}

func TestOneChainServesManyTypesAtOnce(t *testing.T) {
	chain := retry.Chain(again(2),
		retry.PolicyFunc(func(ctx context.Context, next retry.Next) error { return next.Do(ctx) }),
		again(3))
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			n, _ := retry.Do(t.Context(), chain, func(ctx context.Context) (int, error) {
				return i*10 + retry.Attempt(ctx), nil
			})
			s, _ := retry.Do(t.Context(), chain, func(ctx context.Context) (string, error) {
				return fmt.Sprint(i), nil
			})
			type pair struct{ a, b int }
			p, _ := retry.Do(t.Context(), chain, func(ctx context.Context) (pair, error) {
				return pair{i, retry.Depth(ctx)}, nil
			})
			if n != i*10+3 || s != fmt.Sprint(i) || p != (pair{i, 2}) {
				t.Errorf("call %d: got %d %q %v", i, n, s, p)
			}
		})
	}
	wg.Wait()
}

func TestAttemptAndDepth(t *testing.T) {
	var seen []string
	note := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		seen = append(seen, fmt.Sprintf("%d/%d", retry.Attempt(ctx), retry.Depth(ctx)))
		return next.Do(ctx)
	})
	for _, tc := range []struct {
		name  string
		chain retry.Policy
		want  []string
	}{
		{"no loop", note, []string{"1/0"}},
		{"loop", retry.Chain(note, again(2), note), []string{"1/0", "1/1", "2/1"}},
		{"more attempts than share their scope", retry.Chain(again(10), note),
			[]string{"1/1", "2/1", "3/1", "4/1", "5/1", "6/1", "7/1", "8/1", "9/1", "10/1"}},
		{"after a loop", retry.Chain(again(1), note), []string{"1/1"}},
		{"loop in a loop", retry.Chain(again(2), note, again(2), note),
			[]string{"1/1", "1/2", "2/2", "2/1", "1/2", "2/2"}},
		{"a derived context", retry.Chain(again(2), derive{}, note), []string{"1/1", "2/1"}},
		{"a context of its own", retry.Chain(forget{}, again(2), note), []string{"1/1", "2/1"}},
		{"observed", retry.Chain(retry.Observe(func(context.Context, retry.Event) {}), again(2),
			note), []string{"1/1", "2/1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen = nil
			_, _ = retry.Do(t.Context(), tc.chain, func(ctx context.Context) (int, error) {
				a, d := retry.Attempt(ctx), retry.Depth(ctx)
				if fmt.Sprintf("%d/%d", a, d) != seen[len(seen)-1] {
					t.Errorf("the call saw %d/%d, the policy %s", a, d, seen[len(seen)-1])
				}
				// A call within the call is inside the same loops, and a loop of its own counts
				// anew.
				_, _ = retry.Do(ctx, again(2), func(in context.Context) (int, error) {
					if retry.Depth(in) != retry.Depth(ctx)+1 {
						t.Errorf("inner depth %d in %d", retry.Depth(in), retry.Depth(ctx))
					}
					return 0, nil
				})
				return 0, nil
			})
			if !slices.Equal(seen, tc.want) {
				t.Errorf("saw %v, want %v", seen, tc.want)
			}
		})
	}
	if a, d := retry.Attempt(context.Background()), retry.Depth(context.Background()); a != 1 ||
		d != 0 {
		t.Errorf("outside: %d/%d", a, d)
	}
}

type derive struct{}

func (derive) Do(ctx context.Context, next retry.Next) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return next.Do(ctx)
}

type forget struct{}

func (forget) Do(_ context.Context, next retry.Next) error { return next.Do(context.Background()) }

func TestSecondLoopAfterTheFirstIsNotNested(t *testing.T) {
	twice := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		return next.Do(ctx)
	})
	panicky := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		func() {
			defer func() { _ = recover() }()
			_ = next.Do(ctx)
		}()
		return next.Do(ctx)
	})
	for name, outer := range map[string]retry.Policy{"return": twice, "panic": panicky} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			_ = retry.Run(t.Context(), retry.Chain(outer, again(1)),
				func(ctx context.Context) error {
					calls++
					if d := retry.Depth(ctx); d != 1 {
						t.Errorf("call %d: depth %d", calls, d)
					}
					retry.Report(ctx, retry.Quota{Limit: 1})
					if name == "panic" && calls == 1 {
						panic("once")
					}
					return nil
				})
			if calls != 2 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}

func TestContextOfACallIsAFullContext(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "v"))
	_, err := retry.Do(ctx, again(1), func(ctx context.Context) (int, error) {
		child, stop := context.WithCancel(ctx)
		defer stop()
		cancel(errBoom)
		<-child.Done()
		if ctx.Value(key{}) != "v" || context.Cause(child) != errBoom {
			t.Errorf("value %v, cause %v", ctx.Value(key{}), context.Cause(child))
		}
		return 0, retry.Ended(child)
	})
	if !errors.Is(err, errBoom) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCostOfSuccess(t *testing.T) {
	ctx := context.Background()
	call := func(context.Context) (int, error) { return 7, nil }
	pass := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		return next.Do(ctx)
	})
	for _, tc := range []struct {
		name  string
		chain retry.Policy
		want  float64
	}{
		{"nil", nil, 0},
		{"empty", retry.Chain(), 0},
		{"three policies", retry.Chain(again(1), pass, pass), 1},
	} {
		got := testing.AllocsPerRun(100, func() { _, _ = retry.Do(ctx, tc.chain, call) })
		if got != tc.want {
			t.Errorf("%s: %v allocations, want %v", tc.name, got, tc.want)
		}
	}
	run := func(context.Context) error { return nil }
	if got := testing.AllocsPerRun(100, func() { _ = retry.Run(ctx, pass, run) }); got != 1 {
		t.Errorf("Run: %v allocations, want 1", got)
	}
}

func TestWrapIsAGuardedCall(t *testing.T) {
	calls := 0
	f := retry.Wrap(again(3), func(context.Context) (int, error) { calls++; return calls, nil })
	if v, err := f(t.Context()); v != 3 || err != nil {
		t.Errorf("got (%d, %v)", v, err)
	}
}

func TestCheckJudgesTheValue(t *testing.T) {
	odd := func(v int) error {
		if v%2 == 1 {
			return errBoom
		}
		return nil
	}
	for _, tc := range []struct {
		v         int
		err, want error
	}{{2, nil, nil}, {3, nil, errBoom}, {3, context.Canceled, context.Canceled}} {
		v, err := retry.Check(func(context.Context) (int, error) { return tc.v, tc.err },
			odd)(t.Context())
		if v != tc.v || err != tc.want {
			t.Errorf("%d: got (%d, %v), want %v", tc.v, v, err, tc.want)
		}
	}
}
