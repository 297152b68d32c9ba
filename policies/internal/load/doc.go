// Package load holds the algorithms by which policies learn how much load a callee can take. It is
// pure code that takes the time as an argument, so that a simulation can run hours in a moment.
package load
