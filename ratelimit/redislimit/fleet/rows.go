package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// row is one line of the table.
type row struct {
	name    string
	members []int // callers of each
	options []string
	took    time.Duration
	bound   float64
	rival   bool                                // for comparison: nothing is checked
	gates   bool                                // use, trips and parts are checked too
	event   func(context.Context, *scene) error // what happens during the row; nil: nothing
}

// long is the time of a row; a quick one takes a quarter of it.
const long = 6 * time.Second

func rows(quick bool) []row {
	eight := slices.Repeat([]int{8}, 8)
	const late = float64(limit) * float64(lease) / float64(time.Second)
	const bound = burst + late
	all := []row{
		{name: "a script per call", members: eight, options: []string{"-percall"}, bound: burst,
			rival: true},
		{name: "leases", members: eight, bound: bound, gates: true},
		{name: "one member of 64, others 8", members: []int{64, 8, 8, 8, 8, 8, 8, 8}, bound: bound,
			gates: true},
		{name: "24 processes", members: slices.Repeat([]int{8}, 24), bound: bound, gates: true},
		{name: "Strict", members: eight, options: []string{"-strict"}, bound: burst},
		{name: "FLUSHALL every 500 ms", members: eight, bound: bound, event: flushes},
		{name: "Redis stopped for a third of the time", members: eight, bound: bound,
			event: stopped},
		{name: "Redis killed, back empty", members: eight, bound: bound, event: killed},
		{name: "a member killed 4 times a second", members: eight, bound: bound,
			event: memberKilled},
		{name: "a replica promoted, 500 ms behind", members: eight,
			bound: bound + math.Min(limit/2, burst+2*late), event: promoted},
	}
	for i := range all {
		all[i].took = long
		if quick {
			all[i].took = long / 4
		}
	}
	return all
}

// every calls f every d until the scene ends.
func every(ctx context.Context, d time.Duration, f func() error) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := f(); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func flushes(ctx context.Context, s *scene) error {
	c := redis.NewClient(&redis.Options{Addr: s.server.addr})
	defer c.Close()
	return every(ctx, 500*time.Millisecond, func() error { return c.FlushAll(ctx).Err() })
}

func stopped(ctx context.Context, s *scene) error {
	if !pause(ctx, s.took/3) {
		return nil
	}
	if err := s.server.stop(); err != nil {
		return err
	}
	pause(ctx, s.took/3)
	return s.server.cont()
}

func killed(ctx context.Context, s *scene) error {
	if !pause(ctx, s.took/3) {
		return nil
	}
	s.server.kill()
	pause(ctx, s.took/3)
	return s.server.start()
}

func memberKilled(ctx context.Context, s *scene) error {
	i := 0
	return every(ctx, 250*time.Millisecond, func() error {
		i = (i + 1) % len(s.members)
		return s.restart(i)
	})
}

// promoted replaces the primary by a replica that got nothing from it for half a second.
func promoted(ctx context.Context, s *scene) error {
	replica, err := startServer("--replicaof", "127.0.0.1 "+s.server.port())
	if err != nil {
		return err
	}
	defer replica.kill()
	c := redis.NewClient(&redis.Options{Addr: replica.addr})
	defer c.Close()
	if err := synced(ctx, c); err != nil {
		return err
	}
	if !pause(ctx, s.took/3) {
		return nil
	}
	if err := c.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		return err
	}
	pause(ctx, 500*time.Millisecond)
	s.server.kill()
	s.front.to(replica.addr)
	<-ctx.Done()
	return nil
}

func synced(ctx context.Context, c *redis.Client) error {
	for range 200 {
		role, err := c.Do(ctx, "ROLE").Slice()
		if err == nil && len(role) > 3 && role[0] == "slave" && role[3] == "connected" {
			return nil
		}
		if !pause(ctx, 10*time.Millisecond) {
			break
		}
	}
	return fmt.Errorf("the replica does not follow its primary")
}

// pause waits, and is false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
