//go:build !race

package ratelimit

// RaceEnabled tells tests whether the race detector runs: with it everything takes ten times as
// long, and the memory used is not only theirs.
const RaceEnabled = false
