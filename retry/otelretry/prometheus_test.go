package otelretry_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/otelretry"
)

// scrape runs a guard that does all there is to measure and returns what Prometheus reads of it.
func scrape(t *testing.T) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry))
	if err != nil {
		t.Fatal(err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	with := otelretry.WithMeterProvider(meters)
	guard := retry.Chain(retry.Observe(otelretry.Observer(with)),
		policies.Constant(time.Millisecond, policies.Attempts(2)),
		policies.NewBulkhead(8, 8), ratelimit.NewPacer(), ratelimit.New(1000,
			5), breaker.New("catalog", breaker.ConsecutiveFailures(2)))
	stop, err := otelretry.Watch("shop", guard, with)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	for range 3 {
		_ = retry.Run(t.Context(), guard, func(context.Context) error { return errDown })
	}
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d, %v", resp.StatusCode, err)
	}
	return string(text)
}

func TestPrometheusReadsIt(t *testing.T) {
	text := scrape(t)
	for _, want := range []string{
		`resilience_breaker_state{`, `resilience_state="open"} 1`, `resilience_state="closed"} 0`,
		`resilience_rejections_total{`, `resilience_call_duration_seconds_bucket{`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// TestTheDashboardUsesTheseNames: a panel of a metric that is not there stays empty and nobody
// knows why.
func TestTheDashboardUsesTheseNames(t *testing.T) {
	file, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(file, &dashboard); err != nil {
		t.Fatal(err)
	}
	text := scrape(t)
	exported := map[string]bool{}
	series := regexp.MustCompile(`(?m)^(resilience_[a-z_]+)\{([^}]*)\}`)
	for _, m := range series.FindAllStringSubmatch(text, -1) {
		exported[m[1]] = true
	}
	labels := regexp.MustCompile(`(\w+)=`)
	known := []string{"le"}
	for _, m := range labels.FindAllStringSubmatch(text, -1) {
		known = append(known, m[1])
	}
	used := map[string]bool{}
	metric := regexp.MustCompile(`resilience_[a-z_]+\b\{?`)
	group := regexp.MustCompile(`by \(([^)]*)\)`)
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			for _, name := range metric.FindAllString(target.Expr, -1) {
				if !strings.HasSuffix(name, "{") {
					continue // a label
				}
				name = strings.TrimSuffix(name, "{")
				used[name] = true
				if !exported[name] {
					t.Errorf("panel %q asks for %s, which is not exported", panel.Title, name)
				}
			}
			for _, by := range group.FindAllStringSubmatch(target.Expr, -1) {
				for label := range strings.SplitSeq(by[1], ",") {
					if label = strings.TrimSpace(label); !slices.Contains(known, label) {
						t.Errorf("panel %q groups by %s, which no metric has", panel.Title, label)
					}
				}
			}
		}
	}
	for _, must := range []string{
		"resilience_call_duration_seconds_bucket", "resilience_call_attempts_bucket",
		"resilience_call_wait_seconds_sum",
		"resilience_attempt_duration_seconds_bucket", "resilience_rejections_total",
		"resilience_breaker_transitions_total", "resilience_breaker_state",
	} {
		if !used[must] {
			t.Errorf("the dashboard does not show %s (exported: %v)", must, exported)
		}
	}
}
