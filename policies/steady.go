package policies

import "time"

// steady is a clock that never goes back: the one beneath does when a policy made in real time
// enters a synctest bubble, which starts in the year 2000. It is for use under a lock.
type steady struct{ last, shift time.Duration }

func (s *steady) now() time.Duration {
	t := now() + s.shift
	if t < s.last {
		s.shift += s.last - t
		t = s.last
	}
	s.last = t
	return t
}
