// Package httpx is net/http's client with every request sent through a chain of policies.
//
//	resp, err := httpx.Get(ctx, url)                                       // 3 attempts
//	c := httpx.New(httpx.WithPolicy(guard), httpx.RetryOn(httpx.Status(404)))
//	resp, err := c.Do(req)                                                 // as http.Client's
//	item, err := httpx.Fetch(ctx, c, url, httpx.JSON[Item])                // decoded, or retried
//	for r := range httpx.FetchAll(ctx, c, slices.Values(urls), httpx.Text) // as they come
//	client := &http.Client{Transport: &httpx.Transport{Policy: guard}}     // under another client
//	http.Handle("/orders/", httpx.Guard(limits)(orders))                   // the server's side
//
// The following client is for scraping sites that have dead links, bans, captchas and short
// outages. Each host has its own pacer and breaker, the client waits after a refusal, and a dead
// link does not count against its host.
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
//   - A nil error means that there is a response, whatever its status. When retries are exhausted
//     the last response comes back as it is, with its body; [RaiseForStatus] and [Fetch] turn it
//     into an error. If the context, a rejection (by a breaker, a limiter, an empty budget) or a
//     Retry-After above the loop's cap ended the call, there is an error and no response; what the
//     server said last is in the error's [*StatusError].
//   - Idempotent methods are retried on 5xx except 501 and 505, lost connections and timeouts. All
//     methods are retried on 408, 421, 425, 429, 413 with Retry-After, and if the request failed
//     before it was sent. [RetryOn], [RetryOnly], [Refused], [NotProcessed] and
//     [RetryNonIdempotent] change that. Bad certificates, bad URLs and unknown hosts are final; a
//     URL that cannot be sent is a rejection that no breaker counts, and not a configuration error.
//   - The retried unit is one hop. Each hop of a redirect goes through the chain by itself, under
//     its own [Host]: limits per host are policies.Keyed(httpx.Host, ...). If /page redirects to
//     /login and a predicate rejects that, /login is retried, not /page. To retry from /page, put a
//     loop around Fetch and give the client none: see the example "Redirected".
//   - Within an attempt net/http itself may send an idempotent request again if its idle
//     connection turns out to be dead. No policy sees that.
//   - A body is sent again with Request.GetBody, which http.NewRequest sets for bytes and strings,
//     and this package for files and other bodies of known size. Without it there are further
//     attempts only as long as none of the body was read.
//   - A Retry-After is obeyed, also a redirect's. RateLimit fields and similar ones reach the
//     limiters and pacers of the chain, on successes too. For a vendor's own fields call
//     retry.Report(r.Request.Context(), ...) in a predicate or a decoder.
//   - An attempt has 30 s until the headers are there ([AttemptLimit]); under Fetch each wait for
//     more of the body then has the same bound. A policies.Timeout in the chain ends with the
//     headers too (under Fetch: when decoded). http.Client's own Timeout spans all attempts, waits
//     and the body.
//   - In the same way, what a policy holds during a call (a bulkhead's slot, a pacer's place in
//     flight) is given back when the headers are there, under Fetch when the response is decoded.
//   - Fetch undoes every Content-Encoding that it knows. For an archive that a server labels as
//     encoded, and for large files, ask for the bytes as they are: Header("Accept-Encoding",
//     "identity"), or [Save].
//   - The attempt's number is retry.Attempt(r.Context()), in hooks and in http.Transport.Proxy too,
//     which can rotate proxies by it: see the example "Proxies".
//   - An http.Client that is given to [WithClient] is not changed. Errors and logs show no secrets
//     of URLs, and at most 1 KiB of a server's text.
//
// # What policies see
//
// To the policies a rejected response is a [*StatusError]. Its marks answer two questions: whether
// to retry, and whose fault it was. Every rejected response below 500 is marked Neutral, so that a
// breaker does not count it; a 429 and the responses that [Refused] names also carry the wait that
// the server asked for, which limiters and pacers heed. A final 4xx is Permanent and Neutral: it is
// the answer of a healthy server. A failure after which a POST must not be sent again is Permanent
// only. An accepted 404 is a success.
package httpx
