package retry

import (
	"context"
	"log/slog"
)

// LogTo makes an observer that writes every event to l, slog.Default() if nil. What a person must know comes as warnings
// (giving up, rejections, changes of state), a retry as information, the rest for debugging; so is what became of a call that
// was cancelled, as the losers of a hedge are. Errors are logged as they print: keep secrets out of them, as httpx does.
func LogTo(l *slog.Logger) Observer {
	return func(ctx context.Context, e Event) {
		l := l
		if l == nil {
			l = slog.Default()
		}
		level := e.level()
		if ctx.Err() == context.Canceled && e.Kind != KindChange {
			level = slog.LevelDebug
		}
		if !l.Enabled(ctx, level) {
			return
		}
		attrs := make([]slog.Attr, 0, 8)
		if e.Policy != "" {
			attrs = append(attrs, slog.String("policy", e.Policy))
		}
		attrs = append(attrs, slog.Int("attempt", e.Attempt))
		if e.Depth > 1 {
			attrs = append(attrs, slog.Int("depth", e.Depth))
		}
		if e.Wait > 0 {
			attrs = append(attrs, slog.Duration("wait", e.Wait))
		}
		if e.Took > 0 {
			attrs = append(attrs, slog.Duration("took", e.Took))
		}
		if e.From != "" {
			attrs = append(attrs, slog.String("from", e.From))
		}
		if e.To != "" {
			attrs = append(attrs, slog.String("to", e.To))
		}
		if e.Err != nil {
			attrs = append(attrs, slog.String("error", e.Err.Error()))
		}
		l.LogAttrs(ctx, level, e.Kind.String(), attrs...)
	}
}

func (e Event) level() slog.Level {
	switch e.Kind {
	case KindGiveUp, KindReject, KindChange:
		return slog.LevelWarn
	case KindRetry:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
