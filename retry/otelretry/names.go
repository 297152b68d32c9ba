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
// module tell by Stats.
var Gauges = map[string]string{
	BreakerState: "1",

	"resilience.adaptive.baseline":            "s",
	"resilience.adaptive.in_flight":           "1",
	"resilience.adaptive.limit":               "1",
	"resilience.adaptive.waiting":             "1",
	"resilience.breaker.consecutive_failures": "1",
	"resilience.breaker.failures":             "1",
	"resilience.breaker.neutral":              "1",
	"resilience.breaker.next_probe":           "s",
	"resilience.breaker.successes":            "1",
	"resilience.bulkhead.running":             "1",
	"resilience.bulkhead.slots":               "1",
	"resilience.bulkhead.waiting":             "1",
	"resilience.exponential.left":             "1",
	"resilience.keyed.keys":                   "1",
	"resilience.limiter.abandoned":            "1",
	"resilience.limiter.burst":                "1",
	"resilience.limiter.delayed":              "1",
	"resilience.limiter.immediate":            "1",
	"resilience.limiter.limit":                "1/s",
	"resilience.limiter.losses":               "1",
	"resilience.limiter.members":              "1",
	"resilience.limiter.paused":               "s",
	"resilience.limiter.refused":              "1",
	"resilience.limiter.stock":                "1",
	"resilience.limiter.store":                "1",
	"resilience.limiter.tokens":               "1",
	"resilience.limiter.trip":                 "s",
	"resilience.limiter.trips":                "1",
	"resilience.limiter.waited":               "s",
	"resilience.limiter.waiting":              "1",
	"resilience.pacer.in_flight":              "1",
	"resilience.pacer.max_in_flight":          "1",
	"resilience.pacer.mode":                   "1",
	"resilience.pacer.parked":                 "s",
	"resilience.pacer.rate":                   "1/s",
	"resilience.pacer.waiting":                "1",
	"resilience.throttle.accepts":             "1",
	"resilience.throttle.rejecting":           "1",
	"resilience.throttle.requests":            "1",
}
