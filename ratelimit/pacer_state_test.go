package ratelimit

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestPacerIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		if !p.Idle() {
			t.Error("a new one is not idle")
		}
		go run(t.Context(), p, time.Second, nil)
		synctest.Wait()
		if p.Idle() {
			t.Error("idle with a call in flight")
		}
		time.Sleep(2 * time.Second)
		if !p.Idle() {
			t.Error("not idle though nothing was learned")
		}
		p = parked(t, time.Second)
		if p.Idle() {
			t.Error("idle while parked")
		}
		run(t.Context(), p, 0, nil)
		if p.Idle() {
			t.Error("idle with a rate that was just learned")
		}
		time.Sleep(61 * time.Minute)
		if !p.Idle() {
			t.Error("not idle an hour later")
		}
	})
}

func TestPacerTellsWhyItMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		var rec retry.Record
		policy := retry.Chain(retry.Observe(rec.Add), p)
		for i := range 6 {
			retry.Run(t.Context(), policy, func(context.Context) error {
				time.Sleep(10 * time.Millisecond)
				if i == 4 {
					return retry.After(errPage, time.Second)
				}
				return nil
			})
		}
		var notes []string
		for _, e := range rec.Events() {
			if e.Kind == retry.KindChange {
				notes = append(notes, e.Note)
				if e.Policy != "pacer" {
					t.Errorf("policy %q", e.Policy)
				}
			}
		}
		if len(notes) != 2 || !strings.HasPrefix(notes[0], "parked for 1.") || !strings.HasPrefix(notes[1], "start without a rate -> climb at") {
			t.Errorf("notes %q", notes)
		}
		if s := p.String(); !strings.HasPrefix(s, "pacer climb at ") {
			t.Errorf("String: %q", s)
		}
	})
}
