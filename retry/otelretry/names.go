package otelretry

import "go.opentelemetry.io/otel/attribute"

// Names of instruments.
const (
	CallDuration       = "resilience.call.duration"
	CallAttempts       = "resilience.call.attempts"
	CallWait           = "resilience.call.wait"
	AttemptDuration    = "resilience.attempt.duration"
	Rejections         = "resilience.rejections"
	BreakerState       = "resilience.breaker.state"
	BreakerTransitions = "resilience.breaker.transitions"
)

// Keys of attributes.
const (
	// kind and name, on span events: "breaker catalog"
	PolicyKey    = attribute.Key("resilience.policy")
	KindKey      = attribute.Key("resilience.policy.kind") // "breaker"
	NameKey      = attribute.Key("resilience.policy.name") // "catalog"
	FromKey      = attribute.Key("resilience.from")        // a state
	ToKey        = attribute.Key("resilience.to")
	StateKey     = attribute.Key("resilience.state")
	GuardKey     = attribute.Key("resilience.guard") // the name given to Watch
	ErrorTypeKey = attribute.Key("error.type")
)

// Gauges are the instruments of [Watch] and their units: every figure that the policies of this
// module return from Stats. The unit of a count is what it counts, in braces, as the conventions
// ask for: a Prometheus exporter makes "_ratio" of a unit of 1.
var Gauges = map[string]string{
	BreakerState: "{breaker}",

	"resilience.adaptive.baseline":            "s",
	"resilience.adaptive.in_flight":           "{call}",
	"resilience.adaptive.limit":               "{call}",
	"resilience.adaptive.waiting":             "{call}",
	"resilience.breaker.consecutive_failures": "{failure}",
	"resilience.breaker.failures":             "{failure}",
	"resilience.breaker.neutral":              "{call}",
	"resilience.breaker.next_probe":           "s",
	"resilience.breaker.successes":            "{call}",
	"resilience.bulkhead.running":             "{call}",
	"resilience.bulkhead.slots":               "{slot}",
	"resilience.bulkhead.waiting":             "{call}",
	"resilience.exponential.left":             "{token}",
	"resilience.keyed.keys":                   "{key}",
	"resilience.limiter.abandoned":            "{call}",
	"resilience.limiter.burst":                "{token}",
	"resilience.limiter.delayed":              "{call}",
	"resilience.limiter.immediate":            "{call}",
	"resilience.limiter.limit":                "1/s",
	"resilience.limiter.losses":               "{loss}",
	"resilience.limiter.members":              "{member}",
	"resilience.limiter.paused":               "s",
	"resilience.limiter.refused":              "{call}",
	"resilience.limiter.stock":                "{token}",
	"resilience.limiter.store":                "{store}",
	"resilience.limiter.tokens":               "{token}",
	"resilience.limiter.trip":                 "s",
	"resilience.limiter.trips":                "{trip}",
	"resilience.limiter.waited":               "s",
	"resilience.limiter.waiting":              "{call}",
	"resilience.pacer.in_flight":              "{call}",
	"resilience.pacer.max_in_flight":          "{call}",
	"resilience.pacer.mode":                   "{pacer}",
	"resilience.pacer.parked":                 "s",
	"resilience.pacer.rate":                   "1/s",
	"resilience.pacer.waiting":                "{call}",
	"resilience.throttle.accepts":             "{call}",
	"resilience.throttle.rejecting":           "1",
	"resilience.throttle.requests":            "{call}",
}
