package breaker

import (
	"fmt"
	"time"
)

// State is what a breaker does with calls. The zero State is not valid.
type State uint8

const (
	Closed   State = iota + 1 // calls go through and are counted
	HalfOpen                  // a few probes go through, the rest are rejected
	Open                      // calls are rejected until the open time is over
	Isolated                  // calls are rejected until Release
)

var stateNames = [...]string{"unknown", "closed", "half-open", "open", "isolated"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return stateNames[0]
}

// MarshalText gives the name, so that a [Snapshot] reads well.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name that MarshalText wrote.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames[1:] {
		if name == string(text) {
			*s = State(i + 1)
			return nil
		}
	}
	return fmt.Errorf("breaker: %q is not a state", text)
}

// Change is one change of a breaker's state.
type Change struct {
	Name     string // of the breaker
	From, To State
	Time     time.Time
	Cause    error // the failure that decided; nil if none did
}

// Counts is what a breaker has counted since its state last changed; with a FailureRate or
// FailureCount, within the window only.
type Counts struct {
	Successes           int
	Failures            int // slow calls among them
	Neutral             int // calls without a verdict; also with a Window since the last change
	ConsecutiveFailures int // since the last success; they do not age
}
