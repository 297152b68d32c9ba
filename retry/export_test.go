package retry

import "sync/atomic"

// NothingNoticed puts the program back to where no observer was made and no quota reported.
func NothingNoticed() {
	unnoticed.Store(identity)
	atomic.StoreUint32(&observing, 0)
}
