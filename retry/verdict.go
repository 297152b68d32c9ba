package retry

import "time"

// Verdict is what the marks and rejections in an error say together. In a joined error those of
// every part count. The zero Verdict says nothing: an ordinary failure, which a loop retries and a
// breaker counts.
type Verdict struct {
	Permanent bool // no further attempt: see Permanent
	Neutral   bool // not the callee's fault: see Neutral

	Refused   bool          // somebody asked for patience: an After mark, or a rejection
	After     time.Duration // for how long; of several the largest; 0: unknown
	Rejection *Rejection    // the first one; nil: no policy refused

	Hinted bool          // the callee asked for patience: an After mark with no rejection inside
	Hint   time.Duration // for how long; of several the largest; 0: unknown

	Config    bool // a configuration error is among them: see ErrConfig
	Unreached bool // a policy refused the call, or is misconfigured: the callee was not called
}

// VerdictOf reads err in one walk over its tree. It does not look behind [Unmark], nor into the
// Cause of a rejection, which may be another caller's failure. If an [After] mark around the
// Rejection asks for longer, the Rejection returned is a copy with that time; a bare [ErrRejected]
// counts as a Rejection of unknown time.
func VerdictOf(err error) Verdict {
	if err == nil {
		return Verdict{}
	}
	var r reading
	r.walk(err, 0)
	r.Unreached = (r.Rejection != nil || r.Config) && !r.Hinted && !r.called
	return r.Verdict
}

// IsPermanent reports whether err is marked [Permanent], or has [ErrPermanent] in its tree, as the
// error of a loop that gave up on a permanent failure. Like IsNeutral and RetryAfter it does not
// look behind [Unmark]. errors.Is(err, ErrPermanent) is another question: it is false for a mark,
// and may be true behind Unmark.
func IsPermanent(err error) bool { return VerdictOf(err).Permanent }

// IsNeutral reports whether err is marked [Neutral].
func IsNeutral(err error) bool { return VerdictOf(err).Neutral }

// RetryAfter returns the time after which it is worth coming back, from an [After] mark or from a
// [Rejection]. Of several the largest wins. It is false if nobody asked for patience; 0, true
// means: refused, time unknown.
func RetryAfter(err error) (time.Duration, bool) {
	v := VerdictOf(err)
	return v.After, v.Refused
}

// Rejected returns the first rejection in err's tree: see [Verdict]. Unlike errors.As it does not
// look behind [Unmark]: an inner service's rejection is not a rejection by this chain.
func Rejected(err error) (*Rejection, bool) {
	r := VerdictOf(err).Rejection
	return r, r != nil
}

// reading is a Verdict in the making.
type reading struct {
	Verdict
	called bool // a loop in the tree has made attempts
}

// walk adds what err says and reports whether a rejection is in it. around is what the marks around
// err ask for.
func (r *reading) walk(err error, around time.Duration) (rejected bool) {
	hinted, hint := false, time.Duration(0) // by the marks from here down to a branch
walk:
	for err != nil {
		switch e := err.(type) {
		case *mark:
			r.Permanent = r.Permanent || e.permanent
			r.Neutral = r.Neutral || e.neutral
			if e.refused {
				r.Refused, r.After = true, max(r.After, e.after)
				hinted, hint = true, max(hint, e.after)
				around = max(around, e.after)
			}
			err = e.err
			continue
		case *Rejection:
			if e == nil {
				break walk
			}
			r.reject(e, around)
			rejected = true
			err = e.Reason
			continue
		case *Error: // as below, without the slice that Unwrap makes
			if e == nil {
				break walk
			}
			r.called = r.called || e.Attempts > 0
			inReason, inLast := r.walk(e.Reason, around), r.walk(e.Last, around)
			rejected = rejected || inReason || inLast
			break walk
		case *family:
			rejected = r.family(e, around) || rejected
			break walk
		}
		if e, ok := err.(interface{ Is(error) bool }); ok && e.Is(ErrConfig) {
			r.Config = true
		}
		more, one := inside(err)
		for _, member := range more {
			rejected = r.walk(member, around) || rejected
		}
		err = one
	}
	if hinted && !rejected { // a wait that a policy further in asks for is not the callee's wish
		r.Hinted, r.Hint = true, max(r.Hint, hint)
	}
	return rejected
}

// family reads one of this package's own error values, such as ErrRejected, met in the tree.
func (r *reading) family(err error, around time.Duration) (rejected bool) {
	switch err {
	case ErrPermanent:
		r.Permanent = true
	case ErrConfig:
		r.Config = true
	case ErrRejected:
		r.reject(&Rejection{Policy: "a policy", Reason: err}, around)
		return true
	}
	return false
}

func (r *reading) reject(by *Rejection, around time.Duration) {
	r.Refused = true
	r.After = max(r.After, by.RetryAfter)
	if r.Rejection != nil {
		return
	}
	if around > by.RetryAfter {
		later := *by
		later.RetryAfter = around
		by = &later
	}
	r.Rejection = by
}
