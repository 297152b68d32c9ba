// Package limitertest has models of servers that limit their clients. Use them to try a client's
// policies.
//
// A [Server] is a rule, a way to refuse, and the noise around it: nginx's limit_req, a HAProxy
// stick table, Envoy's bucket, a window with a ban, a ladder of bans, limits that change, with or
// without headers, captchas and resets as the answer to a violation, random errors, cut bodies,
// stalls. Ready models are [Nginx], [HAProxy], [Envoy], [Cloudflare] and [Fail2ban]; any other is a
// literal:
//
//	&limitertest.Server{
//		Rule:   limitertest.Bucket(20, 10),
//		Refuse: limitertest.Captcha,
//		Ban: &limitertest.Ban{
//			After: 40, Within: 10 * time.Second, For: 20 * time.Second,
//			Answer: limitertest.Captcha,
//		},
//		Latency: 30 * time.Millisecond, Spread: .18,
//		Seed:    1,
//	}
//
// It can be asked in virtual time ([Server.Serve]), as an [net/http.Handler],
// or as an [net/http.RoundTripper] without a network, best in a
// testing/synctest bubble. [Server.Stats] tells how often it was violated.
package limitertest
