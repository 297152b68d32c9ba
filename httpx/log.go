package httpx

import (
	"context"
	"log/slog"

	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/retry"
)

// logTo is [retry.LogTo] with the request in every line. It removes secrets, which a policy's error
// or a context's cause may hold.
func logTo(l *slog.Logger) retry.Observer {
	log := retry.LogTo(slog.New(named{l.Handler()}))
	return func(ctx context.Context, e retry.Event) {
		e.Err = redact.Error(e.Err)
		log(ctx, e)
	}
}

// named puts the method and the URL of ctx's request before the attributes of a line.
type named struct{ slog.Handler }

func (h named) Handle(ctx context.Context, r slog.Record) error {
	x, _ := ctx.Value(hostKey{}).(*exchange)
	if x == nil {
		return h.Handler.Handle(ctx, r)
	}
	line := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	line.AddAttrs(slog.String("method", methodOf(x.req)), slog.String("url", redact.URL(x.req.URL)))
	r.Attrs(func(a slog.Attr) bool {
		line.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, line)
}
