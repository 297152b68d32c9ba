package reprise_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

var update = flag.Bool("update", false, "write testdata/allocations.txt anew")

const goldenAllocations = "testdata/allocations.txt"

// TestAllocationsDoNotGrow holds what one operation allocates against a file: numbers that do not
// depend on the machine. Times are never tested. If a path has become cheaper, or is to be dearer
// for a reason, write the file anew:
//
//	go test -run TestAllocationsDoNotGrow -update .
func TestAllocationsDoNotGrow(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	known := readAllocations(t)
	var lines strings.Builder
	for _, path := range paths(t) {
		allocs, bytes := allocated(t, path.do)
		fmt.Fprintf(&lines, "%-44s %3d allocs %6d B\n", path.name, allocs, bytes)
		was, ok := known[path.name]
		switch {
		case *update:
		case !ok:
			t.Errorf("%s: %d allocations, %d bytes: %s does not know this path", path.name, allocs,
				bytes, goldenAllocations)
		case allocs > was.allocs || bytes > was.bytes:
			t.Errorf("%s: %d allocations and %d bytes, were %d and %d",
				path.name, allocs, bytes, was.allocs, was.bytes)
		case allocs < was.allocs || bytes < was.bytes:
			t.Logf("%s: only %d allocations and %d bytes: run -update", path.name, allocs, bytes)
		}
	}
	if *update {
		if err := os.WriteFile(goldenAllocations, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("\n%s", &lines)
}

type cost struct{ allocs, bytes uint64 }

func readAllocations(t *testing.T) map[string]cost {
	text, err := os.ReadFile(goldenAllocations)
	if err != nil && !*update {
		t.Fatal(err)
	}
	known := map[string]cost{}
	for line := range strings.Lines(string(text)) {
		var c cost
		column := min(44, len(line)) // the name ends before it
		name := strings.TrimSpace(line[:column])
		if _, err := fmt.Sscanf(line[column:], "%d allocs %d B", &c.allocs, &c.bytes); err != nil {
			t.Fatalf("%s: %q: %v", goldenAllocations, line, err)
		}
		known[name] = c
	}
	return known
}

// allocated is what one do allocates, in the steady state. What the runtime allocates meanwhile
// only adds, so the least of some rounds is exact.
func allocated(t *testing.T, do func() error) (allocs, bytes uint64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rounds, n = 5, 200
	allocs, bytes = 1<<63, 1<<63
	for round := range rounds + 1 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if round > 0 {
			allocs = min(allocs, (after.Mallocs-before.Mallocs)/n)
			bytes = min(bytes, (after.TotalAlloc-before.TotalAlloc)/n)
		}
	}
	return allocs, bytes
}

// path is one way through the library. do returns an error if it did not go that way.
type path struct {
	name string
	do   func() error
}

func paths(t *testing.T) []path {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	named := func(context.Context) (string, error) { return "v", nil }
	way := func(name string, p retry.Policy,
		call func(context.Context) (int, error), want error) path {
		return path{name, func() error {
			_, err := retry.Do(ctx, p, call)
			return outcome(err, want)
		}}
	}
	loop := policies.Exponential()
	gone, leave := context.WithCancelCause(ctx)
	leave(errDown)
	open := breaker.New("open", breaker.OpenFor(time.Hour))
	open.Trip(errDown)
	spent := ratelimit.New(0, 1, ratelimit.MaxWait(0))
	_, _ = retry.Do(ctx, spent, answer)
	full := policies.NewBulkhead(1, 0)
	occupy(t, full)
	none := policies.NewTokenBudget(1, 1e-6)
	_, _ = retry.Do(ctx, policies.Constant(0, policies.WithBudget(none)), down)
	keys := policies.Keyed(func(context.Context) string { return "k" },
		func(string) retry.Policy { return ratelimit.New(1e9, 1e9) })
	var rec int
	return []path{
		way("loop: success", loop, answer, nil),
		{"loop: success, a string", func() error {
			_, err := retry.Do(ctx, loop, named)
			return err
		}},
		way("loop, limiter, breaker: success", guard(), answer, nil),
		way("loop: 2 failures without a wait, success", policies.Constant(0), third(), nil),
		way("loop: the same, exponential", policies.Exponential(policies.Initial(0)), third(), nil),
		way("loop: 2 failures, waits of 1 ns, success", policies.Exponential(policies.Initial(1)),
			third(), nil),
		way("loop: 3 failures", policies.Constant(0), down, retry.ErrExhausted),
		way("loop: a final error", policies.Constant(0), final, errDown),
		way("loop: the budget is spent", policies.Constant(0, policies.WithBudget(none)), down,
			policies.ErrBudget),
		way("breaker: open", open, answer, breaker.ErrOpen),
		way("loop, breaker: open", retry.Chain(policies.Exponential(), open), answer,
			breaker.ErrOpen),
		way("loop, limiter, breaker: open",
			retry.Chain(policies.Exponential(), ratelimit.New(1e9, 1e9), open), answer,
			breaker.ErrOpen),
		{"loop: the context has ended", func() error {
			_, err := retry.Do(gone, loop, down)
			return outcome(err, errDown)
		}},
		{"loop: the context ends during the call", func() error {
			ctx, cancel := context.WithCancelCause(ctx)
			_, err := retry.Do(ctx, loop, func(context.Context) (int, error) {
				cancel(errAway)
				return down(ctx)
			})
			return outcome(err, errAway)
		}},
		way("breaker, a failure", breaker.New("tough", breaker.ConsecutiveFailures(1<<30)), down,
			errDown),
		way("limiter: refused", spent, answer, ratelimit.ErrLimited),
		way("bulkhead: success", policies.NewBulkhead(1, 0), answer, nil),
		way("bulkhead: full", full, answer, policies.ErrFull),
		way("keyed limiter: success", keys, answer, nil),
		way("timeout: success", policies.Timeout(time.Hour), answer, nil),
		way("classify: final", policies.Classify(policies.Final(policies.Is(errDown))), down,
			errDown),
		way("observed loop: success",
			retry.Chain(retry.Observe(func(context.Context, retry.Event) { rec++ }),
				policies.Exponential()), answer, nil),
		fetch("GET: 200", 200),
		fetch("GET: 503, 200", 503, 200),
	}
}

func down(context.Context) (int, error) { return 0, errDown }

var errAway = errors.New("the caller went away")

func final(context.Context) (int, error) { return 0, retry.Permanent(errDown) }

// third succeeds every third time.
func third() func(context.Context) (int, error) {
	n := 0
	return func(context.Context) (int, error) {
		if n++; n%3 == 0 {
			return n, nil
		}
		return 0, errDown
	}
}

// outcome turns an error into another one unless it is the one that is wanted.
func outcome(err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%v, want %v", err, want)
	}
	return nil
}

// occupy takes the only slot of a bulkhead for the test.
func occupy(t *testing.T, b *policies.Bulkhead) {
	in, out := make(chan struct{}), make(chan struct{})
	go func() {
		_ = retry.Run(context.Background(), b, func(context.Context) error {
			close(in)
			<-out
			return nil
		})
	}()
	<-in
	t.Cleanup(func() { close(out) })
}

// fetch GETs from a server in memory that answers with the statuses in turn, so that only the
// client is seen.
func fetch(name string, statuses ...int) path {
	n := 0
	c := httpx.New(
		httpx.WithClient(
			&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				status := statuses[n%len(statuses)]
				n++
				return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1,
					Header: http.Header{}, Request: r,
					ContentLength: int64(len(page)), Body: io.NopCloser(bytes.NewReader(page))}, nil
			})}),
		httpx.WithPolicy(policies.Exponential(policies.Initial(0))),
	)
	return path{name, func() error {
		resp, err := c.Get(context.Background(), "http://server.test/page")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err = io.Copy(io.Discard, resp.Body); resp.StatusCode != 200 {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return err
	}}
}

var page = bytes.Repeat([]byte("reprise "), 128)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
