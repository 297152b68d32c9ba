package retry

import "sync/atomic"

// unnoticed is the empty chain until an observer is made or a quota is reported in this program.
// Only these two make it matter that an empty chain is a Do of its own: an observer around it is
// told of its call, and a report stays in it. As long as there is neither, [Do] spares the empty
// chain the search for what is around its context, which costs more than all the rest.
//
// A call under way at the first report of all may be the one that reports. So it takes off, when it
// is over, all that the scopes around it have heard: it cannot be more than that, but for what a
// goroutine beside it reports in the same moment. A call that panics then takes nothing off: that
// one report is heard further out.
var unnoticed atomic.Pointer[chain]

func init() { unnoticed.Store(identity) }

// observing is 1 once an observer is made in this program: until then nobody observes anything. It
// is not an atomic.Bool, because Observed would then be too large to be inlined.
var observing uint32

// noticed stands in unnoticed afterwards. It equals no policy.
var noticed = &chain{}

// notice stores only once: all processors read unnoticed.
func notice() {
	if unnoticed.Load() != noticed {
		unnoticed.Store(noticed)
	}
}
