// Package otelretry turns what guarded calls do into OpenTelemetry metrics and spans, for
// Prometheus too. It is a separate module, so that only its users require OpenTelemetry.
//
//	guard := retry.Chain(
//		retry.Observe(otelretry.Observer()), // outermost: it sees attempts, waits and rejections
//		policies.Exponential(),
//		breaker.New("catalog"),
//		otelretry.Spans(), // innermost, optional: spans of the callee lie inside the attempt's
//	)
//	stop, err := otelretry.Watch("catalog", guard) // gauges: states, rates, queues
//
// OpenTelemetry's conventions name neither retries nor breakers yet; these names are this module's.
// Those of HTTP are the stable ones of the conventions.
//
//	instrument                       kind       unit          attributes
//	resilience.call.duration         histogram  s             error.type
//	resilience.call.attempts         histogram  {attempt}     error.type
//	resilience.call.wait             histogram  s             policy.kind, policy.name, error.type
//	resilience.attempt.duration      histogram  s             error.type
//	resilience.rejections            counter    {rejection}   policy.kind, policy.name
//	resilience.breaker.transitions   counter    {transition}  policy.kind, policy.name, from, to
//	resilience.breaker.state         gauge      {breaker}     guard, policy.name, state
//	resilience.KIND.STAT             gauge      as in Stats   guard, policy.name
//
// The attributes are resilience.policy.kind ("breaker"), resilience.policy.name ("catalog"),
// resilience.from, resilience.to, resilience.state and resilience.guard (the name given to
// [Watch]). error.type is an HTTP status, "timeout", "canceled", "config", "rejected_by_breaker"
// (or another kind), the Go type of the innermost error, or "_OTHER"; it is absent from a success.
//
// resilience.breaker.state is 1 for the state that a breaker is in and 0 for the others; under
// policies.Keyed it counts the breakers in each state. The last row stands for every figure that a
// policy returns from its method Stats; [Gauges] lists those of this module.
//
// Each attempt is a span "resilience.attempt" below the span of the operation, with
// resilience.attempt (its number) and, under httpx, server.address, server.port,
// http.request.resend_count (from the second attempt on), http.response.status_code and
// http.request.method. Retries, rejections and changes of state are events of the operation's span.
// Its status is never set, because a failure that was retried is not the operation's.
//
// Cardinality is bounded: see [Names] and [TopKeys].
//
// dashboard.json is a Grafana dashboard of these metrics as a Prometheus exporter names them.
package otelretry
