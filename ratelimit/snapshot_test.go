package ratelimit

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestPacerSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 10*time.Minute)
		text, err := json.Marshal(p.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		var s Snapshot
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		q := steady()
		if err := q.Restore(s); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		run(t.Context(), q, 0, nil)
		if d := time.Since(start); d < 6*time.Minute || d > 7*time.Minute {
			t.Errorf("the restored one went after %v", d)
		}
		if err := q.Restore(s); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("a second Restore: %v", err)
		}

		p = steady(StartRate(5))
		run(t.Context(), p, 0, nil)
		q = steady()
		q.Restore(p.Snapshot())
		if q.Rate() != 5 {
			t.Errorf("restored rate %v", q.Rate())
		}
		if err := steady().Restore(Snapshot{Rate: -1}); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("nonsense restored: %v", err)
		}
	})
}
