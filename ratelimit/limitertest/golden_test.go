package limitertest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// models are the servers of testdata/golden.py.
func models() map[string]*Server {
	ban := func(after int, d time.Duration, v Verdict) *Ban {
		return &Ban{After: after, Within: 10 * time.Second, For: d * time.Second, Answer: v}
	}
	halved := &Server{Rule: Bucket(15, 10), RetryAfter: true}
	halved.Change.At, halved.Change.Factor = 8*time.Second, .5
	strict := ban(10, 6, Forbidden)
	strict.Extend = true
	return map[string]*Server{
		"bucket":                 {Rule: Bucket(20, 10)},
		"bucket 503":             {Rule: Bucket(20, 11), Refuse: Unavailable},
		"bucket hints":           {Rule: Bucket(20, 10), RetryAfter: true, Headers: true, Ban: ban(30, 30, Forbidden)},
		"bucket halved":          halved,
		"sliding RA":             {Rule: Sliding(100, 5*time.Second, false), RetryAfter: true, Ban: ban(20, 30, Forbidden)},
		"strict":                 {Rule: Sliding(60, 3*time.Second, true), Refuse: Forbidden, Ban: strict},
		"fixed":                  {Rule: Fixed(60, 3*time.Second, 750*time.Millisecond), Headers: true, Ban: ban(60, 5, Forbidden)},
		"stick table":            {Rule: StickTable(120, 10*time.Second, 2500*time.Millisecond)},
		"stick table, ban":       {Rule: StickTable(120, 10*time.Second, 2500*time.Millisecond), Ban: &Ban{Over: 150, For: 6 * time.Second, Extend: true, Answer: Forbidden}},
		"captcha":                {Rule: Bucket(20, 10), Refuse: Captcha, Ban: ban(40, 5, Captcha)},
		"reset":                  {Rule: Bucket(20, 10), Refuse: Reset, Ban: ban(40, 5, Reset)},
		"nginx burst 0":          Nginx(10, 0, true),
		"nginx burst 20 nodelay": Nginx(10, 20, true),
		"nginx burst 20 delay":   Nginx(10, 20, false),
		"haproxy":                HAProxy(100, 10*time.Second),
		"envoy":                  Envoy(100, 10*time.Second),
		"cf":                     Cloudflare(100, 10*time.Second, time.Minute, true),
		"ladder":                 Fail2ban(10),
	}
}

func line(at time.Duration, a Answer, quota bool) string {
	dash := func(d time.Duration, said bool) string {
		if !said {
			return "-"
		}
		return fmt.Sprint(int64(d / time.Second))
	}
	status := fmt.Sprint(a.Status)
	if a.Verdict == Captcha || a.Verdict == Reset {
		status = a.Verdict.String()
	}
	said := quota && a.Quota != (Quota{})
	remaining := "-"
	if said {
		remaining = fmt.Sprint(a.Quota.Remaining)
	}
	busy := int64((a.Busy + 500*time.Microsecond) / time.Millisecond)
	return fmt.Sprintf("%d %s %s %s %s %d", at, status, dash(a.RetryAfter, a.RetryAfter > 0), remaining, dash(a.Quota.Reset, said), busy)
}

func compare(t *testing.T, golden []byte) {
	t.Helper()
	servers := models()
	var s *Server
	var name string
	wrong, n := 0, 0
	for sc := bufio.NewScanner(bytes.NewReader(golden)); sc.Scan(); {
		want := sc.Text()
		if rest, ok := strings.CutPrefix(want, "# "); ok {
			if name, s, wrong = rest, servers[rest], 0; s == nil {
				t.Fatalf("no model %q", name)
			}
			continue
		}
		var at time.Duration
		fmt.Sscan(want, (*int64)(&at))
		n++
		if got := line(at, s.Serve(at), s.Headers); got != want && wrong < 3 {
			wrong++
			t.Errorf("%s: got  %s\n%s  want %s", name, got, strings.Repeat(" ", len(name)), want)
		}
	}
	if n != 400*len(servers) {
		t.Errorf("%d answers compared, want %d", n, 400*len(servers))
	}
}

func TestAnswersAreThoseOfTheReferenceModel(t *testing.T) {
	golden, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, golden)
}

func TestGoldenFileIsOfTheReferenceModel(t *testing.T) {
	const model = "../../../shared/pacing_model.py"
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3: the committed golden file stands alone")
	}
	if _, err := os.Stat(model); err != nil {
		t.Skip("the reference model is not beside this repository: the committed golden file stands alone")
	}
	fresh, err := exec.Command(python, "testdata/golden.py", model).Output()
	if err != nil {
		t.Fatal(err)
	}
	compare(t, fresh)
}
