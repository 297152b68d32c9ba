package ratelimit

import "github.com/reprise-go/reprise/retry"

// Traits is for retry.Lint.
func (l *Limiter) Traits() retry.Traits { return retry.Traits{Limiter: true} }

// Traits is for retry.Lint.
func (p *Pacer) Traits() retry.Traits { return retry.Traits{Limiter: true} }

// Traits is for retry.Lint.
func (w weighted) Traits() retry.Traits { return retry.Traits{Limiter: true} }
