package ratelimit

// NewPacerBy is NewPacer with the source of its random numbers: for tests that compare.
var NewPacerBy = newPacer
