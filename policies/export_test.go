package policies

// Sweep forgets what has not been used since the last sweep, as the timer does.
func Sweep[K comparable](k *Keys[K]) { k.sweep(false) }
