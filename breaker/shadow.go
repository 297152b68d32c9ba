package breaker

import "sync/atomic"

type shadowed struct{ refused, wrong atomic.Int64 }

// ShadowCounts is what a breaker in shadow mode would have done.
type ShadowCounts struct {
	Refused int64 // calls that it would have rejected
	Wrong   int64 // of those, the ones that were let through and succeeded
}

// ShadowCounts tells what a breaker with [Shadow] would have rejected since it was made, and how
// often it would have been wrong. Refused calls that are still running are in Refused already.
func (b *Breaker) ShadowCounts() ShadowCounts {
	if b == nil {
		return ShadowCounts{}
	}
	wrong := b.shadowed.wrong.Load() // first, so that it never exceeds the other
	return ShadowCounts{Refused: b.shadowed.refused.Load(), Wrong: wrong}
}
