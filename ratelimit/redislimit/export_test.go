package redislimit

// Source, Keys, Arguments and Read are for tests that run the script by another clock.
var (
	Source    = source
	Keys      = keys
	Arguments = arguments
	Read      = grant
)
