package policies

// stateless is what policies have in common that remember nothing of their calls: err is what is
// wrong with how they were made.
type stateless struct{ err error }

func (s *stateless) Validate() error { return s.err }
func (s *stateless) Idle() bool      { return true }
