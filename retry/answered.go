package retry

import "context"

// Answered tells the policies around a call that the callee has begun to answer, for example that a
// response's headers are there and its body is about to be read. A policy that judges by the time
// of an answer does not count the time after it: a pacer doubts a request that takes far longer
// than the others. Without Answered the answer is the end of the call. Outside of such a policy it
// does nothing.
func Answered(ctx context.Context) {
	if h, ok := ctx.Value(AnswerKey{}).(AnswerHearer); ok {
		h.Answered()
	}
}

// AnswerKey is the context key of an [AnswerHearer]: Value(AnswerKey{}) of the context that a
// policy passes on.
type AnswerKey struct{}

// AnswerHearer is told by [Answered], perhaps more than once and from any goroutine. It tells the
// hearers further out, by calling Answered with the context that its policy was given.
type AnswerHearer interface{ Answered() }
