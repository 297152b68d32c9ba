package field

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestQuotasAreWrittenAsTheDraftHasThem(t *testing.T) {
	for _, tc := range []struct {
		quota        retry.Quota
		policy, left string
	}{
		{retry.Quota{Limit: 100, Remaining: 50, Window: time.Minute, Reset: 30 * time.Second},
			`"d";q=100;w=60`, `"d";r=50;t=30`},
		{retry.Quota{Limit: 5, Window: time.Minute, Reset: 29*time.Second + 1},
			`"d";q=5;w=60`, `"d";r=0;t=30`},
		// Full.
		{retry.Quota{Limit: 5, Remaining: 5, Window: time.Minute}, `"d";q=5;w=60`, `"d";r=5`},
		// No such seconds.
		{retry.Quota{Limit: 10, Remaining: 9, Window: 200 * time.Millisecond,
			Reset: 20 * time.Millisecond}, `"d";q=50;w=1`, `"d";r=9`},
		{retry.Quota{Limit: 2, Remaining: 1, Window: 1500 * time.Millisecond,
			Reset: 700 * time.Millisecond}, `"d";q=2;w=2`, `"d";r=1;t=1`},
		{retry.Quota{Limit: 7, Remaining: 3}, `"d";q=7`, `"d";r=3`}, // never restored
		{retry.Quota{Limit: 3, Window: 3*time.Second - 1}, `"d";q=3;w=3`, `"d";r=0`},
		{retry.Quota{Limit: math.MaxInt, Remaining: -1, Window: math.MaxInt64,
			Reset: math.MaxInt64}, `"d";q=999999999999999;w=9223372037`, `"d";r=0;t=9223372037`},
	} {
		n := Named{"d", tc.quota}
		if n.Policy() != tc.policy || n.Left() != tc.left {
			t.Errorf("%+v: %s and %s", tc.quota, n.Policy(), n.Left())
		}
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	for _, q := range []retry.Quota{
		{Limit: 100, Remaining: 50, Window: time.Minute, Reset: 30 * time.Second},
		{Limit: 1, Window: time.Hour, Reset: time.Hour},
		{Limit: 10, Remaining: 10, Window: time.Second},
		{Limit: 10, Remaining: 3, Window: 0},
	} {
		h := http.Header{}
		for _, name := range []string{"one", "a b;c,d=e"} {
			n := Named{name, q}
			h.Add("RateLimit-Policy", n.Policy())
			h.Add("RateLimit", n.Left())
		}
		got := Quotas(h, time.Now())
		if len(got) != 2 || got[0] != q || got[1] != q {
			t.Errorf("%+v was read as %+v", q, got)
		}
	}
}

func TestShare(t *testing.T) {
	for _, tc := range []struct {
		q    retry.Quota
		n    int
		want retry.Quota
	}{
		{retry.Quota{Limit: 10, Remaining: 7, Window: time.Minute}, 1,
			retry.Quota{Limit: 10, Remaining: 7, Window: time.Minute}},
		{retry.Quota{Limit: 10, Remaining: 7, Window: time.Minute, Reset: 6}, 2,
			retry.Quota{Limit: 5, Remaining: 3, Window: time.Minute, Reset: 6}},
		{retry.Quota{Limit: 50, Remaining: 49, Window: time.Second}, 8,
			retry.Quota{Limit: 25, Remaining: 6, Window: 4 * time.Second}},
		{retry.Quota{Limit: 10, Remaining: 1, Window: 200 * time.Millisecond}, 8,
			retry.Quota{Limit: 25, Remaining: 0, Window: 4 * time.Second}},
		{retry.Quota{Limit: 10, Window: time.Second}, 1000,
			retry.Quota{Limit: 1, Window: 100 * time.Second}},
		{retry.Quota{Limit: 10, Remaining: 9}, 4, retry.Quota{Limit: 2, Remaining: 2}},
		{retry.Quota{Limit: 3, Window: math.MaxInt64}, 3,
			retry.Quota{Limit: 1, Window: mostWindow * time.Second}},
	} {
		if got := Share(tc.q, tc.n); got != tc.want {
			t.Errorf("%+v among %d: %+v", tc.q, tc.n, got)
		}
	}
}

func FuzzShareNeverExceedsTheWhole(f *testing.F) {
	f.Add(50, int64(time.Second), 8)
	f.Add(1, int64(time.Millisecond), 100000)
	f.Fuzz(func(t *testing.T, limit int, window int64, n int) {
		if limit < 1 || limit > 1e9 || window < 1e3 || window > int64(1000*24*time.Hour) || n < 1 ||
			n > 1e6 {
			return
		}
		q := Share(retry.Quota{Limit: limit, Window: time.Duration(window)}, n)
		if q.Limit < 1 || q.Window < 0 {
			t.Fatalf("%+v", q)
		}
		whole, part := float64(limit)/float64(window), float64(q.Limit)/float64(q.Window)*float64(n)
		if n > 1 && part > whole*1.001 && q.Window < mostWindow*time.Second {
			t.Fatalf("%d of %+v have %g times the whole", n, q, part/whole)
		}
	})
}

func TestToken(t *testing.T) {
	if got := Token("a \"b\"\\\x00é" + string(make([]byte, 100))); got != "a b" {
		t.Errorf("%q", got)
	}
}
