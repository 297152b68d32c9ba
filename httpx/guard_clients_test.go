package httpx

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// The windows are of 10 calls in a minute.
func TestClientsSeen(t *testing.T) {
	for name, steps := range map[string][]struct {
		at       time.Duration
		key      string
		admitted bool
		n        int
		left     float64
	}{
		"the whole burst, and then its part of what comes in": {
			{0, "a", true, 1, 9}, {0, "b", true, 2, 9}, {0, "a", true, 2, 8},
			{12 * time.Second, "a", true, 2, 8},
			{24 * time.Second, "b", false, 2, 10}, {24 * time.Second, "a", false, 2, 9},
		},
		"a refusal takes nothing": {
			{0, "a", false, 1, 10}, {0, "a", false, 1, 10}, {0, "a", true, 1, 9}},
		"gone after a window": {
			{0, "a", true, 1, 9}, {time.Minute, "b", true, 2, 9},
			{time.Minute + time.Millisecond, "b", false, 1, 9}},
		"older than what was seen already counts as now": {
			{time.Minute, "a", true, 1, 9}, {2 * time.Minute, "b", true, 2, 9},
			{time.Minute, "a", true, 2, 9}, {3 * time.Minute, "a", true, 2, 9},
		},
	} {
		var c clients
		begin := time.Now()
		for i, s := range steps {
			n, left := c.seen(s.key, 10, time.Minute, begin.Add(s.at), s.admitted)
			if n != s.n || math.Abs(left-s.left) > 0.01 {
				t.Errorf("%s, step %d: %d clients, %v left, want %d and %v", name, i, n, left, s.n,
					s.left)
			}
		}
	}
}

func TestAClientIsNeverDeeperInDebtThanItsBurst(t *testing.T) {
	var c clients
	begin := time.Now()
	for range 100 {
		c.seen("a", 10, time.Minute, begin, true)
	}
	if _, left := c.seen("a", 10, time.Minute, begin, false); left != -10 {
		t.Errorf("%v left", left)
	}
}

// Of 40 clients that share 10 calls a minute each comes once in four minutes.
func TestClientsThatGoByTheirPartAreNotForgotten(t *testing.T) {
	var c clients
	begin, n := time.Now(), 0
	for i := range 120 {
		n, _ = c.seen(fmt.Sprint(i%40), 10, time.Minute, begin.Add(time.Duration(i)*6*time.Second),
			true)
	}
	if n != 40 {
		t.Errorf("%d clients", n)
	}
}

func TestClientsAreBounded(t *testing.T) {
	var c clients
	begin := time.Now()
	for i := range mostClients + 100 {
		if n, _ := c.seen(fmt.Sprint(i), 10, time.Minute, begin, true); n > mostClients {
			t.Fatalf("%d clients", n)
		}
	}
	for i := range 10 * mostWindows {
		c.seen("a", 10, time.Duration(i+1)*time.Second, begin, true)
	}
	if n := len(c.windows); n != mostWindows {
		t.Errorf("%d windows", n)
	}
}
