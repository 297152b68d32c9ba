package breaker

// Hubs is how many hubs there are, for tests that want none to be left.
func Hubs() int {
	hubs.Lock()
	defer hubs.Unlock()
	return len(hubs.of)
}
