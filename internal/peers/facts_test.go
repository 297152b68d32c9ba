package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// peer is one way to do a job, with the library's name and version.
type peer[S any] struct {
	name string
	is   S
}

// of is that part of some libraries.
func of[S any](part func(library) S, from ...library) (peers []peer[S]) {
	for _, l := range from {
		peers = append(peers, peer[S]{l.name, part(l)})
	}
	return peers
}

// fact is one row of a table: what is seen of each peer, in their order.
type fact[S any] struct {
	given   string
	observe func(*testing.T, S) string
	seen    []string
}

// prove observes every fact of every peer, each in virtual time, prints what it saw, and holds the
// README to it.
func prove[S any](t *testing.T, what string, peers []peer[S], facts []fact[S]) {
	head := []string{what}
	for _, p := range peers {
		head = append(head, p.name)
	}
	rows := [][]string{head}
	for _, f := range facts {
		row := []string{f.given}
		for i, p := range peers {
			var seen string
			t.Run(f.given+"/"+p.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					seen = f.observe(t, p.is)
					time.Sleep(time.Hour) // until whoever cannot be cancelled is through
				})
				if i >= len(f.seen) || seen != f.seen[i] {
					t.Errorf("saw %q, the table says %q", seen, f.seen)
				}
			})
			row = append(row, seen)
		}
		rows = append(rows, row)
	}
	show(rows)
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), table(rows)) {
		t.Errorf("README.md does not have this table of %s (which -run with a part of "+
			"it cannot compare)", what)
	}
}

func show(rows [][]string) {
	if testing.Verbose() {
		fmt.Println("\n" + table(rows))
	}
}

// those lists what holds.
func those(holds ...any) string {
	var names []string
	for i := 0; i < len(holds); i += 2 {
		if holds[i+1].(bool) {
			names = append(names, holds[i].(string))
		}
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

// took is the virtual time of f.
func took(f func()) string {
	start := time.Now()
	f()
	if d := time.Since(start); d > 0 {
		return d.String()
	}
	return "at once"
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
