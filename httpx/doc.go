// Package httpx is net/http's client with every request sent through a chain of policies.
//
//	resp, err := httpx.Get(ctx, url)                                       // 3 attempts
//	c := httpx.New(httpx.WithPolicy(guard), httpx.RetryOn(httpx.Status(404)))
//	resp, err := c.Do(req)                                                 // as http.Client's
//	item, err := httpx.Fetch(ctx, c, url, httpx.JSON[Item])                // read and decoded inside the retried unit
//	for r := range httpx.FetchAll(ctx, c, slices.Values(urls), httpx.Text) // as they come
//	client := &http.Client{Transport: &httpx.Transport{Policy: guard}}     // under any other client
//	http.Handle("/orders/", httpx.Guard(limits)(orders))                   // the server's side
//
// The following client is for scraping sites with dead links, bans, captchas and a brief outage.
// Each host has its own pacer and breaker, a refusal is waited for, and a dead link does not count
// against its host.
//
//	client := httpx.New(
//		httpx.WithPolicy(retry.Chain(
//			policies.Exponential(policies.Attempts(5), policies.Patience(10*time.Minute)),
//			policies.Keyed(httpx.Host, func(host string) retry.Policy {
//				return retry.Chain(ratelimit.NewPacer(ratelimit.Careful()), breaker.New(host))
//			}),
//		)),
//		httpx.Refused(httpx.Status(403), httpx.Blocked), // a ban, a captcha: slow down, ask again
//		httpx.Polite("examplebot/1.0 (+https://example.com/bot)"),
//	)
//
// # What a user of http.Client has to know
//
//   - A nil error means that there is a response, of whatever status. When its retries are
//     exhausted the last one comes back as it is, readable; [RaiseForStatus] and [Fetch] make an
//     error of it. If the context, a rejection (by a breaker, a limiter, an empty budget) or a
//     Retry-After above the loop's cap ended the call, there is an error and no response; what the
//     server said last is in its [*StatusError].
//   - Idempotent methods are retried on 5xx except 501 and 505, lost connections and timeouts. All
//     methods are retried on 408, 421, 425, 429, 413 with Retry-After, and if the request failed
//     before it was sent. [RetryOn], [RetryOnly], [Refused], [NotProcessed] and
//     [RetryNonIdempotent] change that. Certificates, bad URLs and unknown hosts are final; a URL
//     that cannot be sent is a rejection that no breaker counts, and not a configuration error.
//   - The retried unit is one hop. Each hop of a redirect goes through the chain by itself, under
//     its own [Host]: limits per host are policies.Keyed(httpx.Host, ...). If /page redirects to
//     /login and a predicate rejects that, /login is asked again, not /page. To begin again at the
//     beginning, put a loop around Fetch and give the client none: see the example "Redirected".
//   - Beneath an attempt net/http itself may send an idempotent request again if its idle
//     connection turns out to be dead. No policy sees that.
//   - A body is sent again by Request.GetBody, which http.NewRequest sets for bytes and strings, and
//     this package for files and other bodies of known size. Without it there is one attempt, unless
//     nothing was read of the body.
//   - A Retry-After is obeyed, also a redirect's. RateLimit fields and their relatives reach the
//     limiters and pacers of the chain, on successes too. A vendor's own fields reach them by
//     retry.Report(r.Request.Context(), ...) in a predicate or a decoder.
//   - An attempt has 30 s until the headers are there ([AttemptLimit]); under Fetch each wait for
//     more of the body then has the same bound. A policies.Timeout in the chain ends with the
//     headers too (under Fetch: when decoded). http.Client's own Timeout spans all attempts, waits
//     and the body.
//   - In the same way what a policy holds during a call (a bulkhead's slot, a pacer's place in
//     flight) is free again when the headers are there, under Fetch when the response is decoded.
//   - Fetch undoes every Content-Encoding that it knows. For an archive that a server labels as
//     encoded, and for large files, ask for the bytes as they are: Header("Accept-Encoding",
//     "identity"), or [Save].
//   - The attempt's number is retry.Attempt(r.Context()), in hooks as in http.Transport.Proxy, which
//     makes a rotation of proxies: see the example "Proxies".
//   - An http.Client that is given to [WithClient] is not changed. Errors and logs do not show the
//     secrets of URLs, and at most 1 KiB of a server's text.
//
// # What policies see
//
// A rejected response is a [*StatusError] to them. Whether to ask again and whose fault it was are
// two questions: every rejected response below 500 is marked Neutral, so that a breaker does not
// count it; a 429 and what [Refused] names also carry the wait that was asked for, which limiters
// and pacers heed. A final 4xx is Permanent and Neutral, the answer of a healthy server. A failure
// that a POST may not repeat is Permanent only. An accepted 404 is a success.
package httpx
