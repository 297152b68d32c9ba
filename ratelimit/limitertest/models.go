package limitertest

import "time"

// Nginx is limit_req with its default refusal, 503 without Retry-After.
func Nginx(rate float64, burst int, nodelay bool) *Server {
	return &Server{Rule: LimitReq(rate, burst, nodelay), Refuse: Unavailable}
}

// HAProxy denies with 429 above n requests in a window of http_req_rate.
func HAProxy(n int, window time.Duration) *Server {
	return &Server{Rule: StickTable(n, window, 0), Refuse: TooMany}
}

// Envoy is the local rate limit: a bucket of n, filled in one step per interval.
func Envoy(n int, interval time.Duration) *Server {
	return &Server{Rule: Fixed(n, interval, 0), Refuse: TooMany}
}

// Cloudflare blocks for ban as soon as a window has seen more than n requests, whatever the rate
// after that. With retryAfter the block says how long it lasts.
func Cloudflare(n int, window, ban time.Duration, retryAfter bool) *Server {
	return &Server{
		Rule: StickTable(n, window, 0), RetryAfter: retryAfter,
		Ban: &Ban{After: 1, Within: window, For: ban, Answer: TooMany, AtOnce: true},
	}
}

// Fail2ban is Nginx(rate, 20, true) behind a jail: five refusals within a
// minute earn 403 for ten minutes, and twice as long every further time.
func Fail2ban(rate float64) *Server {
	return &Server{
		Rule: LimitReq(rate, 20, true), Refuse: Unavailable,
		Ban: &Ban{After: 5, Within: time.Minute, For: 10 * time.Minute, Growth: 2,
			Answer: Forbidden},
	}
}
