package otelretry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/otelretry"
	"github.com/reprise-go/reprise/retry/retrytest"
)

var errDown = errors.New("down")

// collector is an SDK that keeps what it is told.
type collector struct {
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter
	meters *sdkmetric.MeterProvider
	traces *sdktrace.TracerProvider
}

func collect() *collector {
	c := &collector{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	c.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(c.reader))
	c.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(c.spans))
	return c
}

func (c *collector) options(more ...otelretry.Option) []otelretry.Option {
	return append([]otelretry.Option{otelretry.WithMeterProvider(c.meters),
		otelretry.WithTracerProvider(c.traces)}, more...)
}

// metrics returns each time series as "name{key=value,...}" with its value, or count and sum.
func (c *collector) metrics(t *testing.T) map[string]string {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := c.reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					got[m.Name+series(p.Attributes)] = fmt.Sprintf("%d, %v %s", p.Count, p.Sum,
						m.Unit)
				}
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					got[m.Name+series(p.Attributes)] = fmt.Sprint(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					got[m.Name+series(p.Attributes)] = fmt.Sprint(p.Value)
				}
			}
		}
	}
	return got
}

func series(set attribute.Set) string {
	var parts []string
	for _, kv := range set.ToSlice() {
		parts = append(parts, string(kv.Key)+"="+kv.Value.Emit())
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func expect(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %q, want %q", k, got[k], v)
		}
	}
	if t.Failed() {
		t.Logf("all: %q", got)
	}
}

func TestMetricsOfACall(t *testing.T) {
	c := collect()
	b := breaker.New("catalog", breaker.ConsecutiveFailures(2))
	guard := retry.Chain(retry.Observe(otelretry.Observer(c.options()...)),
		policies.Constant(0, policies.Attempts(2)), b)
	for range 2 {
		_ = retry.Run(t.Context(), guard, func(context.Context) error { return errDown })
	}
	_ = retry.Run(t.Context(), guard, func(context.Context) error { return nil })
	got := c.metrics(t)
	expect(t, got, map[string]string{
		"resilience.rejections{resilience.policy.kind=breaker,resilience.policy.name=catalog}": "2",
		"resilience.breaker.transitions{resilience.from=closed,resilience.policy.kind=breaker," +
			"resilience.policy.name=catalog,resilience.to=open}": "1",
		"resilience.call.attempts{error.type=_OTHER}":              "1, 2 {attempt}",
		"resilience.call.attempts{error.type=rejected_by_breaker}": "2, 0 {attempt}",
	})
	if d := got["resilience.attempt.duration{error.type=_OTHER}"]; !strings.HasPrefix(d, "2, ") {
		t.Errorf("attempts: %q", d)
	}
}

func TestErrorTypesAreFew(t *testing.T) {
	for name, err := range map[string]error{
		"_OTHER":              fmt.Errorf("user 7: %w", errDown),
		"503":                 fmt.Errorf("x: %w", &httpx.StatusError{Code: 503}),
		"timeout":             fmt.Errorf("x: %w", context.DeadlineExceeded),
		"canceled":            context.Canceled,
		"rejected_by_breaker": &retry.Rejection{Policy: "breaker catalog", Reason: breaker.ErrOpen},
		"config":              retry.ConfigErrorf("p", "bad"),
		"*http.ProtocolError": retry.Permanent(&http.ProtocolError{ErrorString: "x"}),
	} {
		c := collect()
		_ = retry.Run(t.Context(), retry.Observe(otelretry.Observer(c.options()...)),
			func(context.Context) error { return err })
		if got := c.metrics(t); got["resilience.call.attempts{error.type="+name+
			"}"] != "1, 1 {attempt}" {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func TestNamesAreBounded(t *testing.T) {
	for most, want := range map[int]int{3: 4, 0: 1} { // one for all others; kinds only
		c := collect()
		o := otelretry.Observer(c.options(otelretry.Names(most))...)
		for i := range 1000 {
			o(t.Context(),
				retry.Event{Kind: retry.KindReject, Policy: fmt.Sprint("breaker host", i%500)})
		}
		if got := c.metrics(t); len(got) != want {
			t.Errorf("%d names: %q", most, got)
		}
	}
}

func TestSpans(t *testing.T) {
	for name, innermost := range map[string]func(*collector) retry.Policy{
		"made by the observer, afterwards": func(*collector) retry.Policy { return nil },
		"made by Spans, around the call": func(c *collector) retry.Policy {
			return otelretry.Spans(c.options()...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := collect()
			ctx, operation := c.traces.Tracer("test").Start(t.Context(), "operation")
			callee := retrytest.NewScript(retrytest.Step[int]{Err: errDown},
				retrytest.Step[int]{Value: 1, Took: 10 * time.Millisecond})
			guard := retry.Chain(retry.Observe(otelretry.Observer(c.options()...)),
				policies.Constant(0), innermost(c))
			if _, err := retry.Do(ctx, guard, callee.Call); err != nil {
				t.Fatal(err)
			}
			operation.End()
			spans := c.spans.GetSpans()
			if len(spans) != 3 {
				t.Fatalf("%d spans", len(spans))
			}
			first, second, whole := spans[0], spans[1], spans[2]
			if first.Status.Code != codes.Error || second.Status.Code != codes.Unset ||
				whole.Status.Code != codes.Unset {
				t.Errorf("a failure that was retried marks its attempt only: %v, %v, %v",
					first.Status, second.Status, whole.Status)
			}
			for _, s := range spans[:2] {
				if s.Parent.SpanID() != whole.SpanContext.SpanID() ||
					s.Name != "resilience.attempt" {
					t.Errorf("%s below %v", s.Name, s.Parent.SpanID())
				}
			}
			if took := second.EndTime.Sub(second.StartTime); took < 10*time.Millisecond ||
				took > 5*time.Second {
				t.Errorf("the second took %v", took)
			}
			if len(whole.Events) != 1 || whole.Events[0].Name != "resilience.retry" {
				t.Errorf("events %v", whole.Events)
			}
		})
	}
}

func TestAttemptSpansUnderHTTP(t *testing.T) {
	c := collect()
	attempts := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if attempts++; attempts < 3 {
			w.WriteHeader(503)
		}
	}))
	defer server.Close()
	client := httpx.New(httpx.WithPolicy(retry.Chain(
		retry.Observe(otelretry.Observer(c.options()...)), policies.Constant(0,
			policies.Attempts(3)))))
	ctx, operation := c.traces.Tracer("test").Start(t.Context(), "operation")
	resp, err := client.Get(ctx, server.URL+"/?secret=1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	operation.End()
	spans := c.spans.GetSpans()
	if len(spans) != 4 {
		t.Fatalf("%d spans", len(spans))
	}
	for i, s := range spans[:3] {
		set := attribute.NewSet(s.Attributes...)
		resent, again := set.Value("http.request.resend_count")
		if again != (i > 0) || again && resent.AsInt64() != int64(i) {
			t.Errorf("attempt %d: resend_count %v", i+1, resent.Emit())
		}
		if a, _ := set.Value("server.address"); a.AsString() != "127.0.0.1" {
			t.Errorf("server.address %q", a.Emit())
		}
		status, ok := set.Value("http.response.status_code")
		if ok != (i < 2) || ok && status.AsInt64() != 503 {
			t.Errorf("attempt %d: status %v", i+1, status.Emit())
		}
		if strings.Contains(series(set), "secret=1") {
			t.Errorf("a secret is shown: %s", series(set))
		}
	}
}

func TestAPanicEndsTheSpan(t *testing.T) {
	c := collect()
	func() {
		defer func() { _ = recover() }()
		_ = retry.Run(t.Context(), otelretry.Spans(c.options()...), func(context.Context) error {
			panic("ouch")
		})
	}()
	if spans := c.spans.GetSpans(); len(spans) != 1 || spans[0].Status.Code != codes.Error {
		t.Errorf("%v", spans)
	}
}

func TestWithoutSpans(t *testing.T) {
	c := collect()
	ctx, operation := c.traces.Tracer("test").Start(t.Context(), "operation")
	guard := retry.Chain(retry.Observe(otelretry.Observer(c.options(otelretry.WithoutSpans())...)),
		policies.Constant(0))
	_ = retry.Run(ctx, guard, func(context.Context) error { return errDown })
	operation.End()
	if spans := c.spans.GetSpans(); len(spans) != 1 || len(spans[0].Events) != 0 {
		t.Errorf("%d spans", len(spans))
	}
}

func TestWatch(t *testing.T) {
	c := collect()
	b := breaker.New("catalog")
	keys := policies.Keyed(func(context.Context) int { return 0 },
		func(k int) retry.Policy { return breaker.New(fmt.Sprint("host", k)) })
	for k := range 3 {
		_ = retry.Run(t.Context(), keys.For(k), func(context.Context) error { return nil })
	}
	b.Isolate()
	stop, err := otelretry.Watch("shop", retry.Chain(policies.Constant(0), b, keys), c.options()...)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, c.metrics(t), map[string]string{
		"resilience.breaker.state{resilience.guard=shop," +
			"resilience.policy.name=catalog,resilience.state=isolated}": "1",
		"resilience.breaker.state{resilience.guard=shop," +
			"resilience.policy.name=catalog,resilience.state=closed}": "0",
		"resilience.breaker.state{resilience.guard=shop,resilience.state=closed}": "3",
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := c.metrics(t); len(got) > 0 {
		t.Errorf("after stop: %q", got)
	}
}
