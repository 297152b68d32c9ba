package httpx

import (
	"net/http"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/field"
)

// ParseRetryAfter reads how long the server asks the client to wait, from now on. (0, true) means
// that the time it names has passed: use your own backoff. (0, false) means that there is no field,
// or that it cannot be read because it is negative, empty or malformed. The result is never
// negative.
func ParseRetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	return field.RetryAfter(h, now)
}
