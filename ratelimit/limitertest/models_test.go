package limitertest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A crowd asks each model, then comes back after a while: a few answers of each, as their
// documentation has them.
func TestModelsAnswerAsTheirServersDo(t *testing.T) {
	ban := func(after int, d time.Duration, v Verdict) *Ban {
		return &Ban{After: after, Within: 10 * time.Second, For: d, Answer: v}
	}
	halved := &Server{Rule: Bucket(1, 10), RetryAfter: true}
	halved.Change.At, halved.Change.Factor = 8*time.Second, .5
	strict := ban(10, 6*time.Second, Forbidden)
	strict.Extend = true
	for _, c := range []struct {
		name   string
		server *Server
		want   string // of 20 requests a tenth of a millisecond apart at 1 s, 2 s, 5 s and 12 s
	}{
		{"bucket", &Server{Rule: Bucket(20, 10)},
			"10x 200, 10x 429 | 10x 200, 10x 429 | 10x 200, 10x 429 | 10x 200, 10x 429"},
		{"bucket, 503", &Server{Rule: Bucket(20, 11), Refuse: Unavailable},
			"11x 200, 9x 503 | 11x 200, 9x 503 | 11x 200, 9x 503 | 11x 200, 9x 503"},
		{"bucket with hints and a ban",
			&Server{Rule: Bucket(20, 10), RetryAfter: true, Headers: true,
				Ban: ban(30, 30*time.Second, Forbidden)},
			"9x 200, 1x 200 none for 1s, 10x 429 retry 1 none for 1s | " +
				"9x 200, 1x 200 none for 1s, 10x 429 retry 1 none for 1s | " +
				"9x 200, 1x 200 none for 1s, 10x 429 retry 1 none for 1s | " +
				"19x 403 retry 24, 1x 403 retry 23"},
		{"bucket, halved at 8 s", halved,
			"10x 200, 10x 429 retry 1 | 1x 200, 19x 429 retry 1 | 3x 200, 17x 429 retry 1 | " +
				"5x 200, 15x 429 retry 2"},
		{"sliding window with hints",
			&Server{Rule: Sliding(15, 2*time.Second, false), RetryAfter: true},
			"15x 200, 5x 429 retry 2 | 20x 429 retry 1 | 15x 200, 5x 429 retry 2 | " +
				"15x 200, 5x 429 retry 2"},
		{"strict window and a ban",
			&Server{Rule: Sliding(15, 3*time.Second, true), Refuse: Forbidden, Ban: strict},
			"15x 200, 5x 403 | 20x 403 | 20x 403 | 15x 200, 5x 403"},
		{"fixed window",
			&Server{Rule: Fixed(15, 3*time.Second, 750*time.Millisecond), Headers: true},
			"14x 200, 1x 200 none for 2s, 5x 429 none for 2s | 20x 429 none for 1s | " +
				"14x 200, 1x 200 none for 1s, 5x 429 none for 1s | " +
				"14x 200, 1x 200 none for 3s, 5x 429 none for 3s"},
		{"stick table", &Server{Rule: StickTable(30, 10*time.Second, 2500*time.Millisecond)},
			"20x 200 | 10x 200, 10x 429 | 20x 429 | 20x 429"},
		{"captcha",
			&Server{Rule: Bucket(20, 10), Refuse: Captcha, Ban: ban(15, 5*time.Second, Captcha)},
			"10x 200, 10x captcha | 10x 200, 10x captcha | 20x captcha | 10x 200, 10x captcha"},
		{"reset", &Server{Rule: Bucket(20, 10), Refuse: Reset, Ban: ban(15, 5*time.Second, Reset)},
			"10x 200, 10x reset | 10x 200, 10x reset | 20x reset | 10x 200, 10x reset"},
		{"nginx, burst 0", Nginx(10, 0, true),
			"1x 200, 19x 503 | 1x 200, 19x 503 | 1x 200, 19x 503 | 1x 200, 19x 503"},
		{"nginx, burst 5 nodelay", Nginx(10, 5, true),
			"6x 200, 14x 503 | 6x 200, 14x 503 | 6x 200, 14x 503 | 6x 200, 14x 503"},
		{"nginx, burst 5", Nginx(10, 5, false),
			"6x 200, 14x 503 | 6x 200, 14x 503 | 6x 200, 14x 503 | 6x 200, 14x 503"},
		{"haproxy", HAProxy(30, 10*time.Second),
			"20x 200 | 10x 200, 10x 429 | 20x 429 | 20x 429"},
		{"envoy", Envoy(30, 10*time.Second),
			"20x 200 | 10x 200, 10x 429 | 20x 429 | 20x 200"},
		{"cloudflare", Cloudflare(30, 10*time.Second, time.Minute, true),
			"20x 200 | 10x 200, 10x 429 retry 60 | 10x 429 retry 58, 10x 429 retry 57 | " +
				"10x 429 retry 51, 10x 429 retry 50"},
		{"fail2ban", Fail2ban(10),
			"20x 200 | 11x 200, 5x 503, 4x 403 | 20x 403 | 20x 403"},
	} {
		var rounds []string
		for _, at := range []time.Duration{1, 2, 5, 12} {
			var round runs
			for i := range 20 {
				round.add(describe(c.server,
					c.server.Serve(at*time.Second+time.Duration(i)*100*time.Microsecond)))
			}
			rounds = append(rounds, round.String())
		}
		if got := strings.Join(rounds, " | "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// describe is an answer in a word: "429", "403 retry 30", "200 9/1s".
func describe(s *Server, a Answer) string {
	text := fmt.Sprint(a.Status)
	if a.Verdict == Captcha || a.Verdict == Reset {
		text = a.Verdict.String()
	}
	if a.RetryAfter > 0 {
		text += fmt.Sprintf(" retry %d", int(a.RetryAfter/time.Second))
	}
	if s.Headers && a.Quota != (Quota{}) && a.Quota.Remaining == 0 {
		text += fmt.Sprintf(" none for %v", a.Quota.Reset.Round(time.Second))
	}
	return text
}

// runs is a row of words, told as how often each came in a row.
type runs struct {
	words  []string
	counts []int
}

func (r *runs) add(word string) {
	if n := len(r.words); n > 0 && r.words[n-1] == word {
		r.counts[n-1]++
		return
	}
	r.words, r.counts = append(r.words, word), append(r.counts, 1)
}

func (r *runs) String() string {
	var texts []string
	for i, word := range r.words {
		texts = append(texts, fmt.Sprintf("%dx %s", r.counts[i], word))
	}
	return strings.Join(texts, ", ")
}
