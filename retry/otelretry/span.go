package otelretry

import (
	"context"
	"errors"
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/retry"
)

// span makes the span of an attempt that is over, below the span around the call. Without a span
// around the call it makes none, because the program does not trace.
func (o *observer) span(ctx context.Context, e retry.Event) {
	if ctx.Value(spansKey{}) != nil || !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	_, span := o.tracer.Start(ctx, spanName, trace.WithTimestamp(e.Time.Add(-e.Took)),
		trace.WithAttributes(o.attributes(ctx)...))
	finish(span, e.Err)
	span.End(trace.WithTimestamp(e.Time))
}

const spanName = "resilience.attempt"

// attributes are those of an attempt, under httpx with the stable ones of an HTTP client span.
func (c config) attributes(ctx context.Context) []attribute.KeyValue {
	attempt := retry.Attempt(ctx)
	attrs := append([]attribute.KeyValue{attribute.Int("resilience.attempt", attempt)}, c.common...)
	host := httpx.Host(ctx)
	if host == "" {
		return attrs
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		host = name
		if n, err := strconv.Atoi(port); err == nil {
			attrs = append(attrs, attribute.Int("server.port", n))
		}
	}
	attrs = append(attrs, attribute.String("server.address", host))
	if attempt > 1 {
		attrs = append(attrs, attribute.Int("http.request.resend_count", attempt-1))
	}
	return attrs
}

// finish says how an attempt ended.
func finish(span trace.Span, err error) {
	if err == nil {
		return
	}
	var refused *httpx.StatusError
	if errors.As(err, &refused) {
		span.SetAttributes(
			attribute.Int("http.response.status_code", refused.Code),
			attribute.String("http.request.method", refused.Method),
			attribute.String("url.full", refused.URL),
		)
	}
	span.SetAttributes(ErrorTypeKey.String(errorType(err)))
	// The final answer of a healthy callee is not an error.
	if v := retry.VerdictOf(err); !v.Permanent || !v.Neutral {
		span.SetStatus(codes.Error, err.Error())
	}
}

type spansKey struct{}

// Spans is a policy for the innermost place in a chain. It starts the span of each attempt before
// the attempt, so that the spans of the callee (of a database driver, of otelhttp) are inside it.
// An [Observer] hears of an attempt only when it is over; one around Spans makes no spans of
// attempts.
func Spans(opts ...Option) retry.Policy {
	c := configure(opts)
	return spans{c, c.tracer()}
}

type spans struct {
	config
	tracer trace.Tracer
}

func (s spans) Do(ctx context.Context, next retry.Next) error {
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	ctx, span := s.tracer.Start(context.WithValue(ctx, spansKey{}, true), spanName,
		trace.WithAttributes(s.attributes(ctx)...))
	err := errUnfinished
	defer func() {
		finish(span, err)
		span.End()
	}()
	err = next.Do(ctx)
	return err
}

// errUnfinished is the error of a span whose call did not return.
var errUnfinished = errors.New("the call panicked or ended its goroutine")

func (spans) String() string { return "spans" }

// Idle is true: it holds nothing.
func (spans) Idle() bool { return true }
