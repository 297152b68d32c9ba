package retry

// NothingNoticed puts the program back to where no observer was made and no quota reported.
func NothingNoticed() { unnoticed.Store(identity) }
