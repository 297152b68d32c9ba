package otelretry

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/reprise-go/reprise/retry/otelretry"

// Option tunes [Observer], [Spans] and [Watch].
type Option func(*config)

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
	common  []attribute.KeyValue
	names   int
	spans   bool
	topKeys int
}

func configure(opts []Option) config {
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider(), names: 100,
		spans: true}
	for _, o := range opts {
		if o != nil {
			o(&c)
		}
	}
	return c
}

func (c config) meter() metric.Meter  { return c.meters.Meter(scope) }
func (c config) tracer() trace.Tracer { return c.tracers.Tracer(scope) }

// WithMeterProvider says where metrics go. The default is the global provider.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithTracerProvider says where spans go. The default is the global provider.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithAttributes adds attributes to every measurement and span, such as the name of the dependency.
func WithAttributes(attrs ...attribute.KeyValue) Option {
	return func(c *config) { c.common = append(c.common, attrs...) }
}

// WithoutSpans makes an [Observer] that measures and makes no spans.
func WithoutSpans() Option { return func(c *config) { c.spans = false } }

// Names bounds how many different names of policies an [Observer] reports, 100 by default. Further
// ones are reported as "_other": under policies.Keyed the policies of each host or tenant have its
// name. 0 reports kinds only.
func Names(n int) Option { return func(c *config) { c.names = max(0, n) } }

// TopKeys makes [Watch] report the n first keys of each policies.Keyed one by one. By default their
// policies are reported per kind: figures are summed, states are counted.
func TopKeys(n int) Option { return func(c *config) { c.topKeys = max(0, n) } }
