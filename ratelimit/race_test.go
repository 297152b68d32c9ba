//go:build race

package ratelimit

// RaceEnabled tells tests that time is ten times as dear and that memory is not only theirs.
const RaceEnabled = true
