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
	PolicyKey    = attribute.Key("resilience.policy")      // kind and name, on span events: "breaker catalog"
	KindKey      = attribute.Key("resilience.policy.kind") // "breaker"
	NameKey      = attribute.Key("resilience.policy.name") // "catalog"
	FromKey      = attribute.Key("resilience.from")        // a state
	ToKey        = attribute.Key("resilience.to")
	StateKey     = attribute.Key("resilience.state")
	GuardKey     = attribute.Key("resilience.guard") // the name given to Watch
	ErrorTypeKey = attribute.Key("error.type")
)

// Gauges are the instruments of [Watch] and their units.
var Gauges = map[string]string{
	BreakerState: "1",
}
