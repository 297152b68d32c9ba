package retry

import "context"

// Answered tells the policies around a call that the callee has begun to answer, for example that a
// response's headers are there and its body is about to be read. A policy that judges by the time
// of an answer (a pacer takes a request that is out far longer than the others for a doubtful one)
// does not count what comes after it. Without it the answer is the end of the call. Outside of such
// a policy it does nothing.
func Answered(ctx context.Context) {
	if h, ok := ctx.Value(AnswerKey{}).(AnswerHearer); ok {
		h.Answered()
	}
}

// AnswerKey is the key under which the context that a policy passes on finds the policy's
// [AnswerHearer].
type AnswerKey struct{}

// AnswerHearer is told by [Answered], perhaps more than once and from any goroutine. It tells the
// ones further out, by Answered with the context that its policy was given.
type AnswerHearer interface{ Answered() }
