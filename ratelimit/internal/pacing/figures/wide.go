package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/internal/pacing/sim"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
)

// leastOfFamily is the least number of draws that a family is judged by.
const leastOfFamily = 200

func careful(r *rand.Rand) sim.Client { return pacing.New(pacing.Config{Careful: true}, r) }

// families are sums of scores, by trait.
type families map[string]*family

type family struct {
	sum sim.Score
	n   int
}

// add adds s to those of the traits that have fewer than most scores.
func (f families) add(traits []string, s sim.Score, most int) {
	for _, t := range traits {
		if f[t] == nil {
			f[t] = &family{}
		}
		if f[t].n < most {
			f[t].sum.Add(s)
			f[t].n++
		}
	}
}

// short reports whether one of the traits was drawn too seldom.
func (f families) short(traits []string) bool {
	return slices.ContainsFunc(traits, func(t string) bool {
		return f[t] == nil || f[t].n < leastOfFamily
	})
}

// wide prints what the usual and the careful machine reach on servers drawn widely, the same for
// both.
func wide() {
	fmt.Printf("\nSERVERS DRAWN WIDELY, %d of them: score (1: a client that knows the limit), "+
		"crawls that got all pages and no ban, bans and refusals a run; "+
		"the same with Careful\n", *drawn)
	usual, cautious := families{}, families{}
	for i := range 4 * *drawn {
		d := sim.Wide(*seed + i)
		traits := append(slices.Clone(d.Traits), "all")
		most := 1 << 30
		if i >= *drawn { // further draws are for families that were drawn too seldom
			if most = leastOfFamily; !usual.short(traits[:len(traits)-1]) {
				continue
			}
		}
		usual.add(traits, d.Run(maker), most)
		cautious.add(traits, d.Run(careful), most)
	}
	var names []string
	for t := range usual {
		names = append(names, t)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(rank(a)+a, rank(b)+b) })
	for _, t := range names {
		u, c := usual[t], cautious[t]
		a, b := u.sum.Over(u.n), c.sum.Over(c.n)
		fmt.Printf("%-30s %5d   %.3f %.3f %.3f %6.1f      %.3f %.3f %.3f %6.1f\n", t, u.n, a.Score,
			a.Clean, a.Bans, a.Refused, b.Score, b.Clean, b.Bans, b.Refused)
	}
}

// rank puts the sums before the families.
func rank(trait string) string {
	switch trait {
	case "all":
		return "0"
	case "one client", "several clients":
		return "1"
	}
	return "2"
}

// jails prints how often a crawl of a bucket is banned by a jail of five refusals a minute.
func jails() {
	const runs = 200
	fmt.Println("\nJAILS of five refusals a minute: " +
		"share of crawls of 400 pages that were banned, score; the same with Careful")
	for _, b := range []struct {
		rate  float64
		burst int
	}{{12, 15}, {30, 50}, {5, 3}, {20, 10}, {60, 100}, {1, 30}} {
		fmt.Printf("%3.0f/s, burst %3d  ", b.rate, b.burst)
		for _, mk := range []sim.Maker{maker, careful} {
			banned, score := 0, 0.
			for i := range uint64(runs) {
				s := &limitertest.Server{
					Rule: limitertest.Bucket(b.rate, b.burst), Latency: 30 * time.Millisecond,
					Spread: .18, Seed: *seed + i, Slow: i%2 == 0,
					Ban: &limitertest.Ban{After: 5, Within: time.Minute, For: 100 * time.Second,
						Answer: limitertest.Forbidden},
				}
				c := sim.Crawl{Server: s,
					Clients: []sim.Client{mk(rand.New(rand.NewPCG(*seed+i, 9)))}, Pages: 400,
					Workers: 8, Deadline: 2000, Net: .002, Seed: *seed + i, Tries: 8}
				r := c.Run()
				if s.Stats().Bans > 0 {
					banned++
				}
				score += float64(r.OK) / 400 * min(1, (400-float64(b.burst))/b.rate/r.Seconds)
			}
			fmt.Printf("   %.3f %.2f", float64(banned)/runs, score/runs)
		}
		fmt.Println()
	}
}

// blocked prints how much time pages cost that are always refused, at a bucket of 20/s.
func blocked() {
	const runs = 50
	fmt.Println("\nPAGES THAT ARE ALWAYS A CAPTCHA, of 300 with 8 tries each: " +
		"time, in parts of the time without them")
	for _, every := range []int{100, 30} {
		var sum [2]float64
		one := func(page int) bool { return page%every == every/2 }
		for i := range uint64(runs) {
			for k, is := range []func(int) bool{nil, one} {
				s := &limitertest.Server{Rule: limitertest.Bucket(20, 10),
					Latency: 30 * time.Millisecond, Spread: .18, Seed: *seed + i}
				c := sim.Crawl{Server: s,
					Clients: []sim.Client{maker(rand.New(rand.NewPCG(*seed+i, 9)))}, Pages: 300,
					Workers: 8, Deadline: 4000, Net: .002, Seed: *seed + i, Tries: 8,
					Blocked: is}
				sum[k] += c.Run().Seconds
			}
		}
		fmt.Printf("one in %3d: %.2f\n", every, sum[1]/sum[0])
	}
}
