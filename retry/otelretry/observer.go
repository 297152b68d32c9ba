package otelretry

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/retry"
)

// Buckets of the histograms. Those of seconds are the ones that OpenTelemetry's HTTP conventions
// recommend, and further ones for the waits of a loop.
var (
	secondsBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30,
		60, 300}
	attemptBuckets = []float64{1, 2, 3, 4, 5, 7, 10, 20, 50}
)

// Observer returns an observer that turns the events of calls into metrics and spans, for
// retry.Observe as the outermost policy of a chain. The names are in the table of the package
// comment. An instrument that cannot be made is reported to otel.Handle and not used.
func Observer(opts ...Option) retry.Observer {
	c := configure(opts)
	o := &observer{config: c, instruments: newInstruments(c.meter()), tracer: c.tracer(),
		labels: labels{most: c.names, common: c.common}}
	o.success = o.labels.of("", "", "", "")
	return o.hear
}

type observer struct {
	config
	instruments
	tracer  trace.Tracer
	labels  labels
	success *options
}

type instruments struct {
	duration, attempts, wait, attempt metric.Float64Histogram
	rejections, transitions           metric.Int64Counter
}

func newInstruments(m metric.Meter) (i instruments) {
	histogram := func(name, unit, description string, buckets []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit(unit),
			metric.WithDescription(description), metric.WithExplicitBucketBoundaries(buckets...))
		if err != nil {
			otel.Handle(err)
		}
		return h
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		if err != nil {
			otel.Handle(err)
		}
		return c
	}
	i.duration = histogram(CallDuration, "s",
		"Time of a guarded call, all attempts and waits included.", secondsBuckets)
	i.attempts = histogram(CallAttempts, "{attempt}",
		"Calls of the function that a guarded call led to; 0 if all were refused.",
		append([]float64{0}, attemptBuckets...))
	i.wait = histogram(CallWait, "s",
		"Time that a policy made a call wait: backoff, a limit, a queue.", secondsBuckets)
	i.attempt = histogram(AttemptDuration, "s", "Time of one call of the function.", secondsBuckets)
	i.rejections = counter(Rejections, "{rejection}", "Calls that a policy refused.")
	i.transitions = counter(BreakerTransitions, "{transition}", "Changes of a breaker's state.")
	return i
}

// outcome is the attributes of a call or an attempt. Those of a success, which nearly all calls
// are, need no look-up.
func (o *observer) outcome(err error) *options {
	if err == nil {
		return o.success
	}
	return o.labels.of("", errorType(err), "", "")
}

func (o *observer) hear(ctx context.Context, e retry.Event) {
	switch e.Kind {
	case retry.KindDone:
		l := o.outcome(e.Err)
		o.duration.Record(ctx, e.Took.Seconds(), l.record...)
		o.attempts.Record(ctx, float64(e.Calls), l.record...)
	case retry.KindCall:
		o.attempt.Record(ctx, e.Took.Seconds(), o.outcome(e.Err).record...)
		if o.spans {
			o.span(ctx, e)
		}
	case retry.KindWait:
		o.wait.Record(ctx, e.Took.Seconds(),
			o.labels.of(e.Policy, errorType(e.Err), "", "").record...)
	case retry.KindReject:
		o.rejections.Add(ctx, 1, o.labels.of(e.Policy, "", "", "").add...)
		o.remark(ctx, e)
	case retry.KindChange:
		if kind, _ := kindAndName(e.Policy); kind == "breaker" {
			o.transitions.Add(ctx, 1, o.labels.of(e.Policy, "", e.From, e.To).add...)
		}
		o.remark(ctx, e)
	case retry.KindRetry, retry.KindGiveUp:
		o.remark(ctx, e)
	}
}

// remark adds what a policy decided to the span around the call, as an event. It never sets the
// status of that span: a failure that was retried is not the operation's.
func (o *observer) remark(ctx context.Context, e retry.Event) {
	if !o.spans {
		return
	}
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{PolicyKey.String(e.Policy),
		attribute.Int("resilience.attempt", e.Attempt)}
	if e.Wait > 0 {
		attrs = append(attrs, attribute.Float64("resilience.wait", e.Wait.Seconds()))
	}
	if e.To != "" {
		attrs = append(attrs, FromKey.String(e.From), ToKey.String(e.To))
	}
	if e.Err != nil {
		attrs = append(attrs, ErrorTypeKey.String(errorType(e.Err)))
	}
	span.AddEvent("resilience."+eventName(e.Kind), trace.WithTimestamp(e.Time),
		trace.WithAttributes(attrs...))
}

func eventName(k retry.Kind) string {
	if k == retry.KindGiveUp {
		return "give_up"
	}
	return k.String()
}
