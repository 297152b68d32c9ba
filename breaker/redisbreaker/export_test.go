package redisbreaker

// For tests that run the script by another clock, or look at what it keeps.
var (
	Source     = source
	Keys       = keys
	ReportArgs = reportArgs
	ProbeArgs  = probeArgs
	DoneArgs   = doneArgs
	Read       = read
)
