package limitertest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheSameSeedGivesTheSameAnswers(t *testing.T) {
	run := func(seed uint64) (all []Answer) {
		s := Server{Rule: Bucket(20, 10), Seed: seed, Latency: 30 * time.Millisecond, Spread: .2,
			ErrorRate: .2, CutRate: .1, StallRate: .1, Stall: time.Second}
		for i := range 200 {
			all = append(all, s.Serve(time.Duration(i)*60*time.Millisecond))
		}
		return all
	}
	a, b, c := run(1), run(1), run(2)
	same := true
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("answer %d: %v and %v", i, a[i], b[i])
		}
		same = same && a[i] == c[i]
	}
	if same {
		t.Error("another seed gives the same answers")
	}
}

func TestNextIsWhenItAdmits(t *testing.T) {
	for name, rule := range map[string]Rule{
		"open":    Open{},
		"bucket":  Bucket(7, 3),
		"sliding": Sliding(5, time.Second, false),
		"strict":  Sliding(5, time.Second, true),
		"fixed":   Fixed(5, time.Second, 300*time.Millisecond),
		"stick":   StickTable(9, time.Second, 300*time.Millisecond),
		"nginx":   LimitReq(7, 3, true), "nginx delay": LimitReq(7, 3, false),
	} {
		now := time.Duration(0)
		for i := range 500 {
			next := rule.Next(now)
			for tries := 0; next > now; next = rule.Next(now) {
				if tries++; tries > 5 {
					t.Fatalf("%s: request %d at %v: not admitted at the time it named", name, i,
						now)
				}
				now = next
			}
			rule.Count(now, true)
		}
	}
}

func TestInFlightLimit(t *testing.T) {
	s := Server{Rule: Open{}, InFlight: 2, Latency: 100 * time.Millisecond, Refuse: Unavailable}
	for i, want := range []Verdict{OK, OK, Unavailable, Unavailable} {
		if a := s.Serve(time.Duration(i)); a.Verdict != want {
			t.Errorf("request %d: %v", i, a.Verdict)
		}
	}
	if a := s.Serve(101 * time.Millisecond); a.Verdict != OK {
		t.Errorf("later: %v", a.Verdict)
	}
}

func TestFail2banDoubles(t *testing.T) {
	s := Fail2ban(10)
	now := time.Duration(0)
	for _, want := range []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute} {
		bans := s.Stats().Bans
		for s.Stats().Bans == bans {
			s.Serve(now)
		}
		if a := s.Serve(now + want - time.Millisecond); a.Verdict != Forbidden {
			t.Errorf("just before %v: %v", want, a.Verdict)
		}
		now += want
		if a := s.Serve(now); a.Verdict != OK {
			t.Errorf("after %v: %v", want, a.Verdict)
		}
	}
}

func TestTransportAndHandler(t *testing.T) {
	one := func(t *testing.T, c *http.Client,
		url string) (status int, body string, h http.Header, err error) {
		resp, err := c.Get(url)
		if err != nil {
			return 0, "", nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), resp.Header, err
	}
	check := func(t *testing.T, over func(*Server) (*http.Client, string)) {
		c, url := over(&Server{Rule: Sliding(1, time.Hour, false), RetryAfter: true, Headers: true})
		if st, body, h, err := one(t, c, url); st != 200 || body != page || err != nil ||
			h.Get("X-RateLimit-Remaining") != "0" {
			t.Errorf("first: %d %q %v %v", st, body, h, err)
		}
		if st, _, h, err := one(t, c, url); st != 429 || err != nil ||
			h.Get("Retry-After") != "3600" {
			t.Errorf("second: %d %v %v", st, h, err)
		}
		c, url = over(&Server{Rule: Open{}, CutRate: 1, Cuts: Cut})
		if _, _, _, err := one(t, c, url); !errors.Is(err, io.ErrUnexpectedEOF) &&
			!errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("cut: %v", err)
		}
		c, url = over(&Server{Rule: Open{}, CutRate: 1})
		if _, _, _, err := one(t, c, url); err == nil {
			t.Errorf("reset: %v", err)
		}
		c, url = over(&Server{Rule: Sliding(0, time.Hour, false), Refuse: Captcha})
		if st, body, _, err := one(t, c, url); st != 200 || body != captcha || err != nil {
			t.Errorf("captcha: %d %q %v", st, body, err)
		}
	}
	t.Run("transport", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			check(t, func(s *Server) (*http.Client, string) {
				s.Latency = 100 * time.Millisecond
				return &http.Client{Transport: s.Transport()}, "http://example.test/"
			})
		})
	})
	t.Run("handler", func(t *testing.T) {
		check(t, func(s *Server) (*http.Client, string) {
			srv := httptest.NewServer(s.Handler())
			t.Cleanup(srv.Close)
			return srv.Client(), srv.URL
		})
	})
}

// Two requests read the clock in one order and come to the server in the other.
func TestTimeDoesNotGoBackAtTheServer(t *testing.T) {
	s := HAProxy(10, time.Second)
	for i := range 30 {
		s.Serve(900*time.Millisecond + time.Duration(i)*time.Millisecond)
	}
	s.Serve(1001 * time.Millisecond)
	s.Serve(999 * time.Millisecond)
	if a := s.Serve(1002 * time.Millisecond); a.Status == 200 {
		t.Errorf("the requests of the last window are forgotten: %v", a)
	}
}
