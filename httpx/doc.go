// Package httpx is net/http's client with every request sent through a chain of policies.
//
//	resp, err := httpx.Get(ctx, url)                                        // three attempts, 30 s each until the headers are there
//	c := httpx.New(httpx.WithPolicy(guard), httpx.RetryOn(httpx.Status(404)))
//	resp, err := c.Do(req)                                                  // a drop-in for http.Client.Do
//	item, err := httpx.Fetch(ctx, c, url, httpx.JSON[Item])                 // read and decoded inside the retried unit
//	for r := range httpx.FetchAll(ctx, c, slices.Values(urls), httpx.Text)  // as they come
//	for r := range httpx.Crawl(ctx, c, seeds, httpx.Text, links)            // and what they lead to
//	n, err := httpx.Save(ctx, c, url, "file")                               // a download that goes on where it was cut
//	client := &http.Client{Transport: &httpx.Transport{Policy: guard}}      // under any other client
//
// What a user of http.Client has to know:
//
//   - A nil error means that there is a response, of whatever status. When its retries are exhausted the last one comes back as
//     it is, readable; [RaiseForStatus] and [Fetch] make an error of it. Where the context, a rejection (by a breaker, a
//     limiter, an empty budget) or a Retry-After above the loop's cap ended the call, there is no response but an error; what the
//     server said last is in its [*StatusError].
//   - Retried are, for idempotent methods, 5xx but 501 and 505, lost connections and timeouts; for all methods 408, 421, 425,
//     429, 413 with Retry-After, and what failed before it was sent. [RetryOn], [RetryOnly], [Refused] and
//     [RetryNonIdempotent] change that, for POST and PATCH only with the last. Certificates, bad URLs and unknown hosts are final;
//     a URL that cannot be sent is a rejection that no breaker counts, and no configuration error.
//   - Beneath an attempt net/http itself may send an idempotent request again whose idle connection turns out to be dead. No policy
//     sees that.
//   - A body is sent again by Request.GetBody, which http.NewRequest sets for bytes and strings. Without it there is one attempt.
//   - A Retry-After is obeyed; RateLimit fields reach the limiters and pacers of the chain, on successes too.
//   - Each redirect's hop goes through the chain by itself, under its own [Host]: limits per host are
//     policies.Keyed(httpx.Host, ...).
//   - A per-attempt policies.Timeout in the chain ends with the headers (under Fetch: when decoded). The default's 30 s do too,
//     and then bound each wait for more of the body under Fetch. http.Client's own Timeout spans all attempts, waits and the body.
//   - Likewise what a policy holds for the time of a call (a bulkhead's slot, a pacer's place in flight) is free again when the headers
//     are there, under Fetch when decoded.
//   - A client that is handed in with [WithClient] is not changed. Errors and logs do not show the secrets of URLs.
//
// Policies see a response that is rejected as a [*StatusError]: a final 4xx is marked Permanent and Neutral (a healthy
// server's answer), a 429 Neutral with its wait, a failure that a POST may not repeat Permanent. An accepted 404 is a success.
package httpx
