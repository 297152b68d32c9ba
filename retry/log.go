package retry

import (
	"context"
	"errors"
	"log/slog"
	"strings"
)

// LogTo makes an observer that writes every event to l, slog.Default() if nil. The message is the
// kind of the event; the attributes are policy, attempt, depth (only inside two or more loops),
// wait, took, from, to and error, each but attempt only if the event has it.
//
// Levels go by weight. Warn: a loop that gives up, a rejection, a breaker that changes its state.
// Info: a retry. Debug: all the rest, also the final answer of a healthy callee (404, no rows), the
// steps of a pacer, a loop that passes on the rejection of its first attempt (which has a line
// already), and what happens after the caller has cancelled, as to the losers of a hedge.
//
// Errors are logged as they print: keep secrets out of them, as httpx does.
func LogTo(l *slog.Logger) Observer {
	return func(ctx context.Context, e Event) {
		l := l
		if l == nil {
			l = slog.Default()
		}
		level := e.level(ctx)
		if !l.Enabled(ctx, level) {
			return
		}
		attrs := make([]slog.Attr, 0, 8)
		add := func(has bool, a slog.Attr) {
			if has {
				attrs = append(attrs, a)
			}
		}
		add(e.Policy != "", slog.String("policy", e.Policy))
		add(true, slog.Int("attempt", e.Attempt))
		add(e.Depth > 1, slog.Int("depth", e.Depth))
		add(e.Wait > 0, slog.Duration("wait", e.Wait))
		add(e.Took > 0, slog.Duration("took", e.Took))
		add(e.From != "", slog.String("from", e.From))
		add(e.To != "", slog.String("to", e.To))
		if e.Err != nil {
			add(true, slog.String("error", e.Err.Error()))
		}
		l.LogAttrs(ctx, level, e.Kind.String(), attrs...)
	}
}

func (e Event) level(ctx context.Context) slog.Level {
	switch e.Kind {
	case KindChange:
		if kind, _, _ := strings.Cut(e.Policy, " "); kind == "breaker" {
			return slog.LevelWarn
		}
		return slog.LevelDebug
	case KindGiveUp, KindReject, KindRetry:
	default:
		return slog.LevelDebug
	}
	switch v := VerdictOf(e.Err); {
	case ctx.Err() == context.Canceled, v.Permanent && v.Neutral && v.Rejection == nil:
		return slog.LevelDebug
	case e.Kind == KindRetry:
		return slog.LevelInfo
	case e.Kind == KindGiveUp && v.Rejection != nil && !errors.As(e.Err, new(*Error)):
		return slog.LevelDebug
	}
	return slog.LevelWarn
}
