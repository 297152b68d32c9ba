package otelretry_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/otelretry"
)

// row is a line of the table of names in the package comment.
type row struct {
	kind, unit string
	attributes []string
}

// TestTheTableOfNames holds the table in the package comment to what an SDK collects: each
// instrument is in it, with its kind, its unit and exactly its attributes.
func TestTheTableOfNames(t *testing.T) {
	documented := table(t)
	got := collected(t)
	for name := range documented {
		if !strings.Contains(name, "KIND") && got[name] == nil {
			t.Errorf("%s is in the table and is not measured", name)
		}
	}
	for name, is := range got {
		want, ok := documented[name]
		if !ok {
			want = documented["resilience.KIND.STAT"]
			if unit := otelretry.Gauges[name]; unit == "" || unit != is.unit {
				t.Errorf("%s: unit %q, Gauges has %q", name, is.unit, unit)
			}
			want.unit = is.unit
		}
		if is.kind != want.kind || is.unit != want.unit ||
			!slices.Equal(is.attributes, want.attributes) {
			t.Errorf("%s is %v, the table says %v", name, *is, want)
		}
	}
}

// table reads the package comment.
func table(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	short := map[string]string{"policy.kind": "resilience.policy.kind",
		"policy.name": "resilience.policy.name", "from": "resilience.from",
		"to": "resilience.to", "state": "resilience.state", "guard": "resilience.guard",
		"error.type": "error.type"}
	rows := map[string]row{}
	line := regexp.MustCompile(`(?m)^//\t(resilience\.\S+) +(\w+) +(as in Stats|\S+) +(\S.*)$`)
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		r := row{kind: m[2], unit: m[3]}
		for a := range strings.SplitSeq(m[4], ", ") {
			if short[a] == "" {
				t.Errorf("%s: an attribute %q", m[1], a)
			}
			r.attributes = append(r.attributes, short[a])
		}
		slices.Sort(r.attributes)
		rows[m[1]] = r
	}
	if len(rows) != 8 {
		t.Fatalf("%d rows in the table: %v", len(rows), rows)
	}
	return rows
}

// collected is what an SDK has after a few calls that fail, wait, are rejected and open a breaker.
func collected(t *testing.T) map[string]*row {
	t.Helper()
	c := collect()
	observer := otelretry.Observer(c.options()...)
	observer(t.Context(), retry.Event{Kind: retry.KindWait, Policy: "limiter catalog",
		Err: context.Canceled})
	guard := retry.Chain(retry.Observe(observer),
		policies.Constant(1, policies.Attempts(2)),
		ratelimit.New(1000, 10, ratelimit.Named("catalog")),
		policies.NewBulkhead(1, 0, policies.Named("catalog")),
		breaker.New("catalog", breaker.ConsecutiveFailures(2)))
	stop, err := otelretry.Watch("catalog", guard, c.options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stop() }()
	for range 2 {
		_ = retry.Run(t.Context(), guard, func(context.Context) error { return errDown })
	}
	var rm metricdata.ResourceMetrics
	if err := c.reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	got := map[string]*row{}
	add := func(m metricdata.Metrics, kind string, set attribute.Set) {
		r := got[m.Name]
		if r == nil {
			r = &row{kind: kind, unit: m.Unit}
			got[m.Name] = r
		}
		for _, kv := range set.ToSlice() {
			if !slices.Contains(r.attributes, string(kv.Key)) {
				r.attributes = append(r.attributes, string(kv.Key))
			}
		}
		slices.Sort(r.attributes)
	}
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					add(m, "histogram", p.Attributes)
				}
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					add(m, "counter", p.Attributes)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					add(m, "gauge", p.Attributes)
				}
			default:
				t.Errorf("%s is a %T", m.Name, d)
			}
		}
	}
	return got
}
