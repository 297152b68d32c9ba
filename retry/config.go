package retry

import (
	"errors"
	"fmt"
	"strings"
)

// ErrConfig is the family of configuration mistakes. Such an error is final: no loop retries it and
// no breaker counts it.
var ErrConfig = newFamily("bad configuration")

var (
	errNilCall       = ConfigErrorf("retry", "nil call")
	errNilPolicyFunc = ConfigErrorf("retry.PolicyFunc", "nil function")
	errNilAdmit      = ConfigErrorf("retry.Gate", "nil admit function")
	errNilCheck      = ConfigErrorf("retry.Check", "nil call or accept function")
	errNilObserver   = ConfigErrorf("retry.Observe", "nil observer")
)

// ConfigErrorf makes the error that a misconfigured policy returns from Do and Validate. It Is
// [ErrConfig].
func ConfigErrorf(policy, format string, args ...any) error {
	return &configError{policy + ": " + fmt.Sprintf(format, args...)}
}

type configError struct{ text string }

func (e *configError) Error() string        { return e.text }
func (e *configError) Is(target error) bool { return target == ErrConfig }

// Validate returns every configuration error in p, each of which Is [ErrConfig], or nil. Call it at
// start-up; without it the same error comes back from the first call. A policy takes part by a
// method Validate() error. A wrapper without one is looked through: see [Walk].
func Validate(p Policy) error { return validate(p, nil) }

func validate(p Policy, around *layers) error {
	if around.holds(p) {
		return ConfigErrorf("retry", "%T: must not be inside itself", p)
	}
	around = &layers{p, around}
	if c, ok := p.(*chain); ok {
		return c.validate(around)
	}
	v, ok := p.(interface{ Validate() error })
	if !ok {
		if wrapped := unwrap(p); wrapped != nil {
			return validate(wrapped, around)
		}
		return nil
	}
	err := v.Validate()
	if err != nil && !errors.Is(err, ErrConfig) {
		err = fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return err
}

// configErrors is errors.Join on one line.
type configErrors []error

func (es configErrors) Error() string {
	texts := make([]string, len(es))
	for i, err := range es {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (es configErrors) Unwrap() []error { return es }
