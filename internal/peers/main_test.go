package main

import (
	"errors"
	"strings"
	"testing"
)

// TestEveryJobIsDone: whoever is in the table of costs does what it says, and the table shows all.
func TestEveryJobIsDone(t *testing.T) {
	all, stop, err := jobs(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	tables, err := measure(all, 1)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, rows := range tables {
		shown += len(rows[0]) - 1
		if rows[1][0] != byHand.name || !strings.Contains(rows[1][1], " ns (") {
			t.Errorf("the first line is %q", rows[1])
		}
	}
	if shown != len(all) {
		t.Errorf("%d jobs of %d are shown", shown, len(all))
	}
	for _, j := range all {
		ours := 0
		for _, w := range j.ways {
			if libraries[w.library].name == reprise.name {
				ours++
			}
		}
		if libraries[j.ways[0].library].name != byHand.name || ours != 1 {
			t.Errorf("%s: done first by %s, and %d times by reprise", j.name,
				libraries[j.ways[0].library].name, ours)
		}
	}
}

func TestJobThatFailsIsTold(t *testing.T) {
	j := job{name: "bad", ways: []way{{0, func() error { return errBoom }}}}
	if _, err := measure([]job{j}, 1); !errors.Is(err, errBoom) {
		t.Errorf("got %v", err)
	}
	j.parallel = true
	if _, err := measure([]job{j}, 1); !errors.Is(err, errBoom) {
		t.Errorf("in parallel: got %v", err)
	}
}
