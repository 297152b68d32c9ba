// Package load holds the laws by which policies judge what a callee can bear: pure code that takes
// the time as an argument, so that a simulation can run hours of it in a moment.
package load
