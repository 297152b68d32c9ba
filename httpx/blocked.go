package httpx

import "net/http"

// Blocked recognizes the challenge and block pages of bot protections, whatever their status (202,
// 403, 405, 429, 503), by their header fields and not by their text. It is for [Refused]:
//
//	httpx.Refused(httpx.Status(403), httpx.Blocked)
//
// The fields, and where they are documented:
//
//   - Cf-Mitigated: challenge. Cloudflare, on every kind of challenge page:
//     https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/
//   - X-Amzn-Waf-Action: challenge (with status 202) or captcha (405). AWS WAF:
//     https://docs.aws.amazon.com/waf/latest/developerguide/waf-captcha-and-challenge-actions.html
//   - X-DD-B, and X-DataDome beside a 401 or 403. DataDome marks all responses of a protected site
//     with the latter, and a refusal by the status:
//     https://docs.datadome.co/reference/validate-request
//   - X-Vercel-Mitigated: challenge or deny. Vercel's firewall, as observed (status 403 or 429):
//     its documentation speaks of the actions, not of the field:
//     https://vercel.com/docs/vercel-firewall
//
// Other protections answer with a plain 403 or 429, or with a page that can be recognized by its
// text only: add Status(403), or a Predicate that reads the body.
func Blocked(r *http.Response) bool {
	if r.Header.Get("Cf-Mitigated") == "challenge" {
		return true
	}
	switch r.Header.Get("X-Amzn-Waf-Action") {
	case "challenge", "captcha":
		return true
	}
	switch r.Header.Get("X-Vercel-Mitigated") {
	case "challenge", "deny":
		return true
	}
	denied := r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusUnauthorized
	return len(r.Header["X-Dd-B"]) > 0 || denied && r.Header.Get("X-Datadome") != ""
}
