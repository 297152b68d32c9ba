//go:build !race

package reprise_test

const underRace = false
