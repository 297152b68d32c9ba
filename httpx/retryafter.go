package httpx

import (
	"net/http"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/field"
)

// ParseRetryAfter reads how long the server asks to be left alone, from now on. (0, true) is a
// server that names a time which is already over: come back after your own back-off. (0, false) is
// no field, or none that can be read: negative, empty or junk. The result is never negative.
func ParseRetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	return field.RetryAfter(h, now)
}
