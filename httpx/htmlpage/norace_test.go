//go:build !race

package htmlpage

// raceEnabled skips tests of how long one goroutine takes: with the race detector it is minutes.
const raceEnabled = false
